"""How fast do the cores run now? Their mean clock, which falls when a machine is hot or saves power."""

from __future__ import annotations

import re
from pathlib import Path

from .files import ROOT, find, read_int, read_text


def megahertz(root: Path = ROOT) -> float | None:
    """Mean clock of all cores that are on, in MHz. None where the system does not say, as in most virtual machines.

    The kernel's frequency governor, or what /proc/cpuinfo reports on x86.
    """
    kilohertz = [
        value
        for path in find(root, "/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
        if (value := read_int(root, path)) is not None and value > 0
    ]
    if kilohertz:
        return sum(kilohertz) / len(kilohertz) / 1000
    told = re.findall(r"^cpu MHz\s*:\s*([\d.]+)\s*$", read_text(root, "/proc/cpuinfo") or "", re.MULTILINE)
    values = [float(text) for text in told if re.fullmatch(r"\d+(\.\d+)?", text) and float(text) > 0]
    return sum(values) / len(values) if values else None
