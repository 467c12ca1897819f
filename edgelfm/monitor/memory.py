"""How much memory does a process have, now and at its peak?"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from .files import ROOT, read_text


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """Bytes of one process."""

    resident: int  # in main memory, shared libraries and mapped files included
    swapped: int  # pushed out of main memory
    peak: int | None  # highest `resident` so far, as the system keeps it; it does not count what was swapped then

    @property
    def footprint(self) -> int:
        """Resident and swapped together: a process does not get smaller by being swapped out."""
        return self.resident + self.swapped


def read_process(pid: int, root: Path = ROOT) -> ProcessMemory | None:
    """Memory of a process, None if it is gone or may not be looked at. /proc on Linux, psutil elsewhere."""
    status = read_text(root, f"/proc/{pid}/status")
    if status is not None:
        return parse_status(status)
    if root != ROOT or sys.platform == "linux":
        return None
    import psutil

    try:
        told = psutil.Process(pid).memory_info()
    except psutil.Error:
        return None
    return ProcessMemory(told.rss, 0, getattr(told, "peak_wset", None))


def parse_status(text: str) -> ProcessMemory | None:
    """The memory lines of /proc/PID/status, which count in units of 1,024 bytes. None for a process that has ended."""
    lines = {name: int(value) * 1024 for name, value in re.findall(r"^(Vm\w+):\s+(\d+) kB$", text, re.MULTILINE)}
    if "VmRSS" not in lines:
        return None
    return ProcessMemory(lines["VmRSS"], lines.get("VmSwap", 0), lines.get("VmHWM"))
