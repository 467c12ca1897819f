"""Reads what a person types: one line, a line that goes on after a backslash, or a block between triple quotes.

The history is kept in the config folder where Python has readline.
"""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from .output import decorated

QUOTES = '"""'
_HISTORY_LENGTH = 1000


class LineInput:
    """A prompt with history and completion of slash commands."""

    def __init__(self, history: Path, words: Sequence[str]) -> None:
        self._words = sorted(words)
        self._readline = _readline()
        if self._readline is not None:
            self._prepare(self._readline, history)

    def read(self) -> str:
        """The next message. Raises `EOFError` at Ctrl-D and `KeyboardInterrupt` at Ctrl-C."""
        first = input(self._prompt("> "))
        if first.strip().startswith(QUOTES):
            return self._block(first.strip()[len(QUOTES) :])
        lines = [first]
        while lines[-1].endswith("\\"):
            lines[-1] = lines[-1][:-1]
            lines.append(input(self._prompt(". ")))
        return "\n".join(lines).strip()

    def _block(self, line: str) -> str:
        lines: list[str] = []
        while QUOTES not in line:
            lines.append(line)
            line = input(self._prompt(". "))
        lines.append(line.partition(QUOTES)[0])
        return "\n".join(lines).strip()

    def _prompt(self, text: str) -> str:
        if not decorated():
            return text
        # readline counts what is not between \x01 and \x02 as columns.
        start, end = ("\x01", "\x02") if self._readline is not None else ("", "")
        return f"{start}\x1b[1;36m{end}{text}{start}\x1b[0m{end}"

    def _prepare(self, readline: ModuleType, history: Path) -> None:
        readline.set_history_length(_HISTORY_LENGTH)
        readline.set_completer_delims(" \t\n")
        readline.set_completer(self._complete)
        libedit = "libedit" in (readline.__doc__ or "")
        readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")
        try:
            readline.read_history_file(history)
        except OSError:
            # None yet, or not readable: the session begins with an empty history.
            readline.clear_history()
        atexit.register(_save, readline, history)

    def _complete(self, text: str, state: int) -> str | None:
        matches = [word for word in self._words if text.startswith("/") and word.startswith(text)]
        return matches[state] if state < len(matches) else None


def _save(readline: ModuleType, history: Path) -> None:
    from .output import side

    try:
        history.parent.mkdir(parents=True, exist_ok=True)
        readline.write_history_file(history)
    except OSError as error:
        side().print(f"the history was not kept: {error}", style="dim", markup=False)


def _readline() -> ModuleType | None:
    try:
        import readline
    except ImportError:  # Windows
        return None
    return readline
