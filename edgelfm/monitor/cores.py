"""How many cores do other programs take, of those this process may use? The time between two readings tells.

Busy is what the kernel counts as work of anybody, and on a virtual machine the time its host gave to others; our own
process, with all its threads, is taken out. It does not know how much more the others would take if we took less.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .files import ROOT, read_text

#: The kernel counts in hundredths of a second; over less than five of them a reading says nothing.
SHORTEST_SECONDS = 0.05
_HERTZ = 100  # of the clock in /proc, on every architecture of Linux that user programs can see
_IDLE = (3, 4)  # fields of a line of /proc/stat: idle, and idle while a disk works
_FIELDS = 8  # those after these are counted in the others already


class CoresTaken:
    """A meter of other programs. The first reading only starts it.

    `cpus` are numbers of hardware threads, those of this process's affinity if None. `own` gives the processor seconds
    of this process and `clock` the time; tests put others in their place.
    """

    def __init__(
        self,
        root: Path = ROOT,
        *,
        cpus: frozenset[int] | None = None,
        own: Callable[[], float] = time.process_time,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._root = root
        self._cpus = affinity() if cpus is None else cpus
        self._own, self._clock = own, clock
        self._last = self._look()

    def read(self) -> float | None:
        """Cores that others kept busy since the last reading, on average; 0.0 where all was ours.

        None if that is less than `SHORTEST_SECONDS` ago, or if the system does not say; then the last reading stands.
        """
        now = self._look()
        if now is None or self._last is None:
            self._last = self._last or now
            return None
        seconds = now[0] - self._last[0]
        if seconds < SHORTEST_SECONDS:
            return None
        busy, own = now[1] - self._last[1], now[2] - self._last[2]
        self._last = now
        return max(0.0, (busy - own) / seconds)

    def _look(self) -> tuple[float, float, float] | None:
        """Time, busy seconds of the cores, own seconds."""
        busy = _busy_seconds(self._root, self._cpus)
        return None if busy is None else (self._clock(), busy, self._own())


def affinity() -> frozenset[int] | None:
    """Numbers of the hardware threads this process may run on, None where the system sets no such bounds."""
    if sys.platform == "linux":
        return frozenset(os.sched_getaffinity(0))
    return None


def cores_taken(seconds: float = 0.2, root: Path = ROOT) -> float | None:
    """Cores that other programs keep busy now, by watching for that long. None where the system does not say."""
    meter = CoresTaken(root)
    time.sleep(max(seconds, 2 * SHORTEST_SECONDS))
    return meter.read()


def _busy_seconds(root: Path, cpus: frozenset[int] | None) -> float | None:
    text = read_text(root, "/proc/stat")
    if text is None:
        return _busy_by_psutil() if root == ROOT and sys.platform != "linux" else None
    ticks, seen = 0, False
    for line in text.splitlines():
        name, *fields = line.split() or [""]
        if not name.startswith("cpu"):
            break  # the cores come first
        number = name[3:]
        if not number.isdigit() or (cpus is not None and int(number) not in cpus):
            continue
        counts = fields[:_FIELDS]
        if len(counts) <= max(_IDLE) or not all(count.isascii() and count.isdigit() for count in counts):
            return None
        ticks += sum(int(count) for place, count in enumerate(counts) if place not in _IDLE)
        seen = True
    return ticks / _HERTZ if seen else None


def _busy_by_psutil() -> float:
    import psutil

    now = psutil.cpu_times()
    return float(sum(now) - now.idle)
