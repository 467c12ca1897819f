"""How far a conversion is: a bar in a terminal or notebook, a line a step in a log, or a function of your own.

edgelfm.convert(folder, progress=True)
edgelfm.convert(folder, progress=lambda now: bar.set(now.fraction))
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

_NO_COLUMNS = 72  # width of a terminal that does not say
_BETWEEN_CALLS = 0.05  # seconds
_SHORT_SECONDS = 1.0  # below this nobody needs to be told


@dataclass(frozen=True, slots=True)
class Converting:
    """One moment of a conversion."""

    step: str  # what is done: "reading the weights", "quantizing to Q4_0"
    steps_done: int
    steps_total: int
    step_fraction: float  # of the step, 0 to 1

    @property
    def fraction(self) -> float:
        """Of the whole, 0 to 1. Steps count the same, whatever they take."""
        return min(1.0, (self.steps_done + self.step_fraction) / self.steps_total)


Show = Callable[[Converting], None]


class Meter:
    """Shows how far it is. Use it as a context manager: leaving takes the bar away."""

    def __init__(self, show: bool | Show, steps: int) -> None:
        self._now = Converting("", -1, steps, 0.0)
        self._show = show if callable(show) else None
        self._bars = show is True and (_is_notebook() or sys.stderr.isatty())
        self._lines = show is True and not self._bars
        self._began, self._called, self._line = time.monotonic(), 0.0, ""
        self._bar: Any = None

    def step(self, what: str) -> Callable[[float], None]:
        """Turn to the next step. Returns what to call with how far it is, 0 to 1."""
        self._now = Converting(
            what, self._now.steps_done + 1, max(self._now.steps_total, self._now.steps_done + 2), 0.0
        )
        self._tell(always=True)
        return self._advance

    def _advance(self, fraction: float) -> None:
        now = self._now
        self._now = Converting(now.step, now.steps_done, now.steps_total, max(0.0, min(1.0, fraction)))
        self._tell()

    def _tell(self, *, always: bool = False) -> None:
        moment = time.monotonic()
        if not always and moment - self._called < _BETWEEN_CALLS:
            return
        self._called = moment
        if self._show is not None:
            self._show(self._now)
        if self._bars and (self._bar is not None or moment - self._began > _SHORT_SECONDS / 4):
            if self._bar is None:
                self._bar = _bar()
            self._bar.n = self._now.fraction
            self._bar.set_description_str(self._now.step, refresh=False)
            self._bar.refresh()
        elif self._lines and self._line != self._now.step:
            self._line = self._now.step
            print(self._line, file=sys.stderr, flush=True)

    def __enter__(self) -> Meter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def _bar() -> Any:
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
        total=1.0, bar_format="{desc} {bar} {percentage:3.0f}%", leave=False, file=sys.stderr, colour="cyan",
        ascii=" ╸━" if unicode else " -",
        ncols=_NO_COLUMNS if columns == 0 and not _is_notebook() else None, dynamic_ncols=columns > 0,
    )  # fmt: skip


def _is_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in shell.config
