"""Folds a streaming text at spaces, so that words are not cut at the edge of the terminal."""

from __future__ import annotations

import re

_PARTS = re.compile(r"\n|[^\S\n]+|\S+")


class Folder:
    """Takes text as it comes and returns what can be written now.

    A word is held back until it is complete, for only then is it known whether it still fits. Fenced code is passed
    through as it is.
    """

    def __init__(self, width: int) -> None:
        self._width = max(20, width)
        self._column = 0
        self._held = ""
        self._space = ""  # seen after the last word, written only if a word follows on this line
        self._line = ""  # beginning of the current line, to recognise a fence
        self._code = False

    def feed(self, text: str) -> str:
        """Take `text`, return what is certain."""
        parts = _PARTS.findall(self._held + text)
        self._held = parts.pop() if parts and not parts[-1].isspace() else ""
        return "".join(self._place(part) for part in parts) + self._overlong()

    def finish(self) -> str:
        """Return what was held back."""
        held, self._held = self._held, ""
        return self._place(held) if held else ""

    def _place(self, part: str) -> str:
        if part == "\n":
            if self._line.lstrip().startswith("```"):
                self._code = not self._code
            self._column, self._space, self._line = 0, "", ""
            return "\n"
        if part.isspace():
            self._space += part
            return ""
        space, self._space = self._space, ""
        self._line = (self._line + space + part)[:80]
        if not self._code and self._column and self._column + _cells(space + part) > self._width:
            self._column = _cells(part)
            return "\n" + part
        self._column += _cells(space + part)
        return space + part

    def _overlong(self) -> str:
        """Text without spaces, as in Japanese, is not held for longer than a line."""
        if _cells(self._held) < self._width:
            return ""
        held, self._held = self._held, ""
        return self._place(held)


def _cells(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)
