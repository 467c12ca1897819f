"""How far a download is: a bar in a terminal or notebook, plain lines in a log, or a function of your own.

    store.fetch(..., progress=True)                              a bar, or lines where stderr is not a terminal
    store.fetch(..., progress=lambda now: bar.set(now.fraction)) a widget; at most some 20 calls a second

It knows bytes and names, nothing of hubs and disks.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

from ..units import format_bytes, format_seconds

_BETWEEN_CALLS = 0.05  # seconds
_BETWEEN_LINES = 10.0
_NO_COLUMNS = 72  # width of a terminal that does not say
_BAR = "{desc} {bar} {n_fmt}/{total_fmt} {rate_fmt} {remaining}"


@dataclass(frozen=True, slots=True)
class Downloading:
    """One moment of a download. Bytes count what was on the disk already."""

    file: str
    files_done: int
    files_total: int
    bytes_done: int
    bytes_total: int
    note: str = ""  # why nothing moves: "another process is downloading it"

    @property
    def fraction(self) -> float:
        """From 0 to 1."""
        return min(1.0, self.bytes_done / self.bytes_total) if self.bytes_total else 1.0


Show = Callable[[Downloading], None]


class Meter:
    """Keeps count and shows it. Use it as a context manager: leaving closes the bar."""

    def __init__(self, show: bool | Show, *, files: int, bytes_total: int) -> None:
        self._now = Downloading("", 0, files, 0, bytes_total)
        self._bar: Any = None
        self._called = self._lined = self._began = 0.0
        self._show = show if callable(show) else None
        self._lines = self._bars = False
        if show is True and not _switched_off():
            self._lines = not (_is_notebook() or sys.stderr.isatty())
            self._bars = not self._lines

    def begin(self, file: str, bytes_there: int) -> None:
        """Turn to the next file, of which `bytes_there` are on the disk."""
        self._now = replace(self._now, file=file, bytes_done=self._now.bytes_done + bytes_there, note="")
        if self._bars:
            if self._bar is None:
                self._bar = _bar(self._now.bytes_total)
            self._bar.set_description_str(self._title(), refresh=False)
            self._bar.initial += bytes_there  # not downloaded now, so not part of the speed
            self._bar.n += bytes_there
            self._bar.refresh()
        elif self._lines:
            self._began = self._lined = time.monotonic()
            there = f", {format_bytes(bytes_there)} of it is here" if bytes_there else ""
            _line(f"downloading {file}{there}")
        self._call(always=True)

    def advance(self, count: int) -> None:
        """`count` more bytes; less than none where bytes had to be thrown away."""
        self._now = replace(self._now, bytes_done=self._now.bytes_done + count, note="")
        if self._bar is not None:
            self._bar.update(count)
        elif self._lines and time.monotonic() - self._lined >= _BETWEEN_LINES:
            self._lined = time.monotonic()
            now = self._now
            _line(f"{now.fraction:.0%}: {format_bytes(now.bytes_done)} of {format_bytes(now.bytes_total)}")
        self._call()

    def end(self) -> None:
        """The file is here and checked."""
        self._now = replace(self._now, files_done=self._now.files_done + 1, note="")
        if self._lines:
            _line(f"{self._now.file} is here after {format_seconds(time.monotonic() - self._began)}")
        self._call(always=True)

    def note(self, text: str) -> None:
        """Say why nothing moves."""
        self._now = replace(self._now, note=text)
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        elif self._lines:
            _line(text)
        self._call(always=True)

    def __enter__(self) -> Meter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def _title(self) -> str:
        """The file's name, cut to half the line at most, and which of how many it is."""
        now = self._now
        position = f" ({now.files_done + 1}/{now.files_total})" if now.files_total > 1 else ""
        name, room = now.file.rpartition("/")[2], max(8, (_columns() or _NO_COLUMNS) // 2 - len(position))
        return (name if len(name) <= room else f"{name[: room - 1]}…") + position

    def _call(self, *, always: bool = False) -> None:
        if self._show is None:
            return
        moment = time.monotonic()
        if always or moment - self._called >= _BETWEEN_CALLS:
            self._called = moment
            self._show(self._now)


def _bar(total: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm remarks that ipywidgets is missing, and falls back to text by itself
        from tqdm.auto import tqdm
    columns = _columns()
    # A serial console has no columns, which tqdm takes for a width and never comes back. A notebook has none either.
    width = _NO_COLUMNS if columns == 0 and not _is_notebook() else None
    unicode = (getattr(sys.stderr, "encoding", None) or "").lower().startswith("utf")
    return tqdm(
        total=total, unit="iB", unit_scale=True, unit_divisor=1024, bar_format=_BAR,
        ncols=width, dynamic_ncols=columns > 0,
        delay=1e-9,  # nothing is drawn before there is a name to draw
        ascii=" ╸━" if unicode else " -", colour="cyan", file=sys.stderr, leave=True,
    )  # fmt: skip


def _columns() -> int:
    """Characters in a line of the terminal; 0 if it does not say."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError, AttributeError):
        return 0


def _line(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _switched_off() -> bool:
    return os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS", "").strip().upper() in ("1", "ON", "YES", "TRUE")


def _is_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in shell.config
