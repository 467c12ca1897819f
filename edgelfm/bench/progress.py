"""How far a benchmark is, what it does now, and how long the rest will take.

run(..., progress=True)                        a bar in a terminal or notebook, a line now and then in a log
run(..., progress=lambda now: show(now.what))  a function of your own
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from ..units import format_seconds

_BETWEEN_LINES = 10.0  # seconds
_NO_COLUMNS = 72  # width of a terminal that does not say
_WIDEST, _LEFT = 46, 18  # characters of the description and of the time left, so that 80 columns hold a bar too


@dataclass(frozen=True, slots=True)
class Benching:
    """One moment of a benchmark."""

    done: int  # things measured
    total: int
    what: str  # "2/5 edgelfm: decode at 512"
    seconds_left: float | None  # None until something is known about the speed of this machine

    @property
    def fraction(self) -> float:
        """From 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 1.0


Show = Callable[[Benching], None]


class Forecast:
    """How long the rest will take, from how long the same things took before.

    A thing is a runtime and what it is asked. One that has not been done yet is taken to last as long as the same
    question did elsewhere, or else as all that is known so far do on average. `planned` are seconds of things that take
    as long as they are told to.
    """

    def __init__(self, things: Sequence[tuple[str, str]], planned: Mapping[str, float] | None = None) -> None:
        self._left = list(things)
        self._planned = dict(planned or {})
        self._seconds: dict[tuple[str, str], float] = {}

    def done(self, thing: tuple[str, str], seconds: float) -> None:
        """This one took so long."""
        self._seconds[thing] = seconds
        if thing in self._left:
            self._left.remove(thing)

    def drop(self, runtime: str) -> int:
        """That runtime has failed; nothing more of it will come. Returns how many things that were."""
        before = len(self._left)
        self._left = [thing for thing in self._left if thing[0] != runtime]
        return before - len(self._left)

    def seconds(self) -> float | None:
        """Until the end, None before anything has been done."""
        if not self._seconds:
            return None
        mean = sum(self._seconds.values()) / len(self._seconds)
        return sum(self._expected(thing, mean) for thing in self._left)

    def _expected(self, thing: tuple[str, str], mean: float) -> float:
        if (known := self._seconds.get(thing, self._planned.get(thing[1]))) is not None:
            return known
        same = [seconds for (_, asked), seconds in self._seconds.items() if asked == thing[1]]
        return sum(same) / len(same) if same else mean


class Meter:
    """Shows how far it is. Use it as a context manager: leaving takes the bar away."""

    def __init__(self, show: bool | Show, total: int) -> None:
        self._now = Benching(0, total, "", None)
        self._show = show if callable(show) else None
        self._lined = 0.0
        self._width = 0  # of the description
        self._bar: Any = None
        if show is True and (_is_notebook() or sys.stderr.isatty()):
            self._bar = _bar(total)
        self._lines = show is True and self._bar is None

    def show(self, done: int, total: int, what: str, seconds_left: float | None) -> None:
        """What happens now."""
        self._now = Benching(done, total, what, seconds_left)
        if self._show is not None:
            self._show(self._now)
        left = f"about {_rough(seconds_left)} left" if seconds_left is not None else ""
        if self._bar is not None:
            self._bar.total = total
            self._bar.n = done
            self._width = max(self._width, min(len(what), _WIDEST))  # so that the bar stays where it is
            shown = what if len(what) <= _WIDEST else what[: _WIDEST - 1] + "…"
            self._bar.set_description_str(shown.ljust(self._width), refresh=False)
            self._bar.unit = left.rjust(_LEFT)
            self._bar.refresh()
        elif self._lines and time.monotonic() - self._lined >= _BETWEEN_LINES:
            self._lined = time.monotonic()
            print(f"{self._now.fraction:.0%}: {what}{', ' + left if left else ''}", file=sys.stderr, flush=True)

    def note(self, what: str) -> None:
        """Why nothing is being measured at the moment."""
        self.show(self._now.done, self._now.total, what, self._now.seconds_left)

    def __enter__(self) -> Meter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def _rough(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 59.5 else format_seconds(seconds)


def _bar(total: int) -> Any:
    import os
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm remarks that ipywidgets is missing, and falls back to text by itself
        from tqdm.auto import tqdm
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError, AttributeError):
        columns = 0  # a notebook, or a serial console that does not say
    unicode = (getattr(sys.stderr, "encoding", None) or "").lower().startswith("utf")
    return tqdm(
        total=total, bar_format="{desc} {bar} {unit}", leave=False, file=sys.stderr, colour="cyan",
        ascii=" ╸━" if unicode else " -",
        ncols=_NO_COLUMNS if columns == 0 and not _is_notebook() else None, dynamic_ncols=columns > 0,
    )  # fmt: skip


def _is_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in shell.config
