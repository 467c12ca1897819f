"""What is read beside the clock while a runtime works: its peak of memory, and the energy that the machine takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from ..monitor.energy import Counter, joules_between, read_counters, read_power
from ..monitor.files import ROOT
from ..monitor.memory import read_process

#: The kernel of Linux and Windows keep the peak themselves, so only what is swapped can be missed between two looks.
_EVERY_WITH_PEAK, _EVERY = 0.1, 0.01
_EVERY_POWER = 0.1  # seconds


class PeakMemory:
    """The highest memory of a process while the block runs, in `bytes`. None if it could not be read.

    The peak that the kernel keeps (VmHWM), or resident and swapped memory together where that was more.
    """

    def __init__(self, pid: int | None, root: Path = ROOT) -> None:
        self._pid, self._root = pid, root
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self.bytes: int | None = None

    def __enter__(self) -> PeakMemory:
        if self._look() is not None:
            self._thread = threading.Thread(target=self._poll, name="edgelfm-peak-memory", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join()
        self._look()

    def _poll(self) -> None:
        while (every := self._look()) is not None and not self._end.wait(every):
            pass

    def _look(self) -> float | None:
        """Look once. Seconds until it is worth looking again, None if there is nothing to look at."""
        now = read_process(self._pid, self._root) if self._pid is not None else None
        if now is None:
            return None
        self.bytes = max(self.bytes or 0, now.footprint, now.peak or 0)
        return _EVERY if now.peak is None else _EVERY_WITH_PEAK


class Energy:
    """Energy between `begin` and `end`, from the counters of the processor or else by adding up power.

    `source` says where it comes from, empty where nothing can be read; then `end` gives None.
    """

    def __init__(self, root: Path = ROOT, clock: Callable[[], float] = time.perf_counter) -> None:
        self._root, self._clock = root, clock
        self._before: tuple[Counter, ...] = ()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._joules = 0.0
        self._last: tuple[float, float] | None = None  # time and watts
        self._counts = bool(read_counters(root))
        power = None if self._counts else read_power(root)
        self.source = "RAPL package" if self._counts else power.source if power is not None else ""

    def begin(self) -> None:
        """Start to count."""
        if self._counts:
            self._before = read_counters(self._root)
        elif self.source:
            self._joules, self._last = 0.0, None
            self.sample()
            self._end = threading.Event()
            self._thread = threading.Thread(target=self._poll, args=(self._end,), name="edgelfm-power", daemon=True)
            self._thread.start()

    def end(self) -> float | None:
        """Joules since `begin`."""
        if self._counts:
            return joules_between(self._before, read_counters(self._root))
        if self._thread is None:
            return None
        self._end.set()
        self._thread.join()
        self._thread = None
        self.sample()
        return self._joules

    def sample(self) -> None:
        """Add what was drawn since the last sample, at the mean of the two."""
        power, now = read_power(self._root), self._clock()
        if power is None:
            return
        if self._last is not None:
            self._joules += (now - self._last[0]) * (self._last[1] + power.watts) / 2
        self._last = (now, power.watts)

    def _poll(self, end: threading.Event) -> None:
        while not end.wait(_EVERY_POWER):
            self.sample()
