"""How fast do the cores run now? Their mean clock, which falls when a machine is hot or saves power."""

from __future__ import annotations

import re
from pathlib import Path

from .files import ROOT, find, read_int, read_text

_TOLD = re.compile(r"^cpu MHz\s*:\s*([\d.]+)\s*$", re.MULTILINE)


class Clocks:
    """The clocks of a machine, looked for once and read many times."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._files = find(root, "/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")

    def read(self) -> tuple[float, ...]:
        """MHz of each core that is on, in the order of their numbers. Empty where the system does not say.

        The kernel's frequency governor (every Raspberry Pi has one), or what /proc/cpuinfo reports on x86.
        """
        read = (read_int(self._root, path) for path in self._files)
        if kilohertz := tuple(value / 1000 for value in read if value is not None and value > 0):
            return kilohertz
        told = _TOLD.findall(read_text(self._root, "/proc/cpuinfo") or "")
        return tuple(float(text) for text in told if re.fullmatch(r"\d+(\.\d+)?", text) and float(text) > 0)


def megahertz(root: Path = ROOT) -> float | None:
    """Mean clock of all cores that are on, in MHz. None where the system does not say, as in most virtual machines."""
    clocks = Clocks(root).read()
    return sum(clocks) / len(clocks) if clocks else None
