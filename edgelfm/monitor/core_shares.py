"""How busy is each core? The time between two readings tells. It does not know who keeps it busy; `cores` does."""

from __future__ import annotations

import sys
from pathlib import Path

from .files import ROOT, read_text

_IDLE = (3, 4)  # fields of a line of /proc/stat: idle, and idle while a disk works
_FIELDS = 8  # those after these are counted in the others already
_Times = dict[int, tuple[float, float]]  # by number of the core: busy and all time, in units of the system


class CoreShares:
    """A meter of every core that is on. The first reading only starts it."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._last: _Times = self._look() or {}

    def read(self) -> tuple[float, ...] | None:
        """Share of the time since the last reading that each core was busy, 0 to 1, in the order of their numbers.

        Work of anybody counts, and on a virtual machine what its host gave to others. None if the system does not say,
        or if the clock of the kernel has not moved since.
        """
        now = self._look()
        if now is None:
            return None
        shares = []
        for number, (busy, whole) in sorted(now.items()):
            last_busy, last_whole = self._last.get(number, (busy, whole))
            if whole > last_whole:
                shares.append(min(1.0, max(0.0, (busy - last_busy) / (whole - last_whole))))
        if shares:
            self._last = now
        return tuple(shares) or None

    def _look(self) -> _Times | None:
        text = read_text(self._root, "/proc/stat")
        if text is not None:
            return parse_stat(text)
        return _ask_psutil() if self._root == ROOT and sys.platform != "linux" else None


def parse_stat(text: str) -> _Times | None:
    """The lines of single cores in /proc/stat, None if there are none that make sense."""
    times: _Times = {}
    for line in text.partition("\nintr ")[0].splitlines():
        name, *fields = line.split() or [""]
        if not name.startswith("cpu"):
            break  # the cores come first
        counts = fields[:_FIELDS]
        if len(counts) <= max(_IDLE) or not all(count.isascii() and count.isdigit() for count in counts):
            return None
        if name[3:].isdigit():
            whole = sum(map(int, counts))
            times[int(name[3:])] = (whole - sum(int(counts[place]) for place in _IDLE), whole)
    return times or None


def _ask_psutil() -> _Times:
    import psutil

    return {place: (sum(one) - one.idle, sum(one)) for place, one in enumerate(psutil.cpu_times(percpu=True))}
