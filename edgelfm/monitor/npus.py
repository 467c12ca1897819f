"""How busy is the neural processor? Only Intel's driver shows it to ordinary users: for all others it is unknown."""

from __future__ import annotations

from pathlib import Path

from .files import ROOT, find, read_int

#: Microseconds that jobs ran, since boot; the kernel has it since 6.11 (Documentation/ABI/testing/sysfs-driver-ivpu).
_BUSY = "/sys/class/accel/accel*/device/npu_busy_time_us"


#: Seconds between two looks. The kernel's documentation asks for it: looking delays the submission of jobs.
EVERY = 1.0


class NpuShare:
    """A meter of the first NPU that tells. The first reading only starts it."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._file = next(iter(find(root, _BUSY)), None)
        self._last: tuple[float, int] | None = None

    def read(self, now: float) -> float | None:
        """Share of the time since the last reading that it was busy, 0 to 1. `now` is in seconds. None if unknown."""
        busy = read_int(self._root, self._file) if self._file else None
        if busy is None:
            return None
        last, self._last = self._last, (now, busy)
        if last is None or now <= last[0] or busy < last[1]:
            return None
        return round(min(1.0, (busy - last[1]) / 1e6 / (now - last[0])), 3)
