"""How far a tuning is: a bar in a terminal or notebook, one line in a log, or a function of your own.

    lfm.tune(progress=True)
    lfm.tune(progress=lambda now: bar.set(now.fraction))

It ends when it is settled, which is often before the time is over.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from ..units import format_seconds

_NO_COLUMNS = 72  # width of a terminal that does not say
_SHORT_SECONDS = 1.0  # below this nobody needs to be told


@dataclass(frozen=True, slots=True)
class Measuring:
    """One moment of a tuning."""

    phase: str  # what is being measured: "decode", "prefill"
    seconds: float  # since it began
    seconds_total: float  # that it may take

    @property
    def fraction(self) -> float:
        """From 0 to 1."""
        return min(1.0, self.seconds / self.seconds_total)


Show = Callable[[Measuring], None]


class Meter:
    """Shows how far it is. Use it as a context manager: leaving takes the bar away."""

    def __init__(self, show: bool | Show, what: str, seconds: float) -> None:
        self._show = show if callable(show) else None
        self._what, self._seconds = what, seconds
        self._bars = show is True and (_is_notebook() or sys.stderr.isatty())
        self._lines = show is True and not self._bars
        self._bar: Any = None

    def show(self, now: Measuring) -> None:
        """What happens now."""
        if self._show is not None:
            self._show(now)
        if self._bars:
            if self._bar is None:
                self._bar = _bar(self._seconds)
                self._bar.set_description_str(f"{self._what}, once", refresh=False)
            self._bar.n = min(now.seconds, self._seconds)
            self._bar.set_postfix_str(now.phase, refresh=False)
            self._bar.update(0)
        elif self._lines and now.seconds > _SHORT_SECONDS / 4:
            self._lines = False
            about = format_seconds(self._seconds)
            print(f"{self._what}, once: about {about}", file=sys.stderr, flush=True)

    def __enter__(self) -> Meter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def _bar(total: float) -> Any:
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
        total=total, bar_format="{desc} {bar} {postfix}", leave=False, file=sys.stderr, colour="cyan",
        ascii=" ╸━" if unicode else " -", mininterval=0.1,
        ncols=_NO_COLUMNS if columns == 0 and not _is_notebook() else None, dynamic_ncols=columns > 0,
    )  # fmt: skip


def _is_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in shell.config
