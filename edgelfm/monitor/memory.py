"""How much memory does a process have, now and at its peak?"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from .files import ROOT, read_text

_LINE = re.compile(r"^(Vm(?:RSS|HWM|Swap)):\s+(\d+) kB$", re.MULTILINE)
_SHARE = re.compile(r"^(Pss|Private_Clean|Private_Dirty|Private_Hugetlb):\s+(\d+) kB$", re.MULTILINE)


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


def read_process(pid: int | None = None, root: Path = ROOT) -> ProcessMemory | None:
    """Memory of a process, this one if `pid` is None. None if it is gone or may not be looked at.

    /proc on Linux, psutil elsewhere.
    """
    status = read_text(root, f"/proc/{pid or 'self'}/status")
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


@dataclass(frozen=True, slots=True)
class SharedMemory:
    """How much of a process's resident memory is its own, in bytes."""

    pss: int  # what several processes share is divided among them
    uss: int  # what nobody else has: it would be free if this process ended


def read_shared(pid: int | None = None, root: Path = ROOT) -> SharedMemory | None:
    """What a process has for itself, None where the system does not say.

    The kernel walks all pages of the process for it: some milliseconds for a gigabyte. Ask seldom.
    """
    text = read_text(root, f"/proc/{pid or 'self'}/smaps_rollup")
    if text is not None:
        return parse_rollup(text)
    if root != ROOT or sys.platform == "linux":
        return None
    import psutil

    try:
        told = psutil.Process(pid).memory_full_info()
    except psutil.Error:
        return None
    # Windows and macOS count what is shared by nobody, and do not divide the rest.
    return SharedMemory(getattr(told, "pss", told.uss), told.uss)


def parse_rollup(text: str) -> SharedMemory | None:
    """/proc/PID/smaps_rollup, which counts in units of 1,024 bytes."""
    lines = {name: int(value) * 1024 for name, value in _SHARE.findall(text)}
    if "Pss" not in lines:
        return None
    return SharedMemory(lines.pop("Pss"), sum(lines.values()))


def parse_status(text: str) -> ProcessMemory | None:
    """The memory lines of /proc/PID/status, which count in units of 1,024 bytes. None for a process that has ended."""
    lines = {name: int(value) * 1024 for name, value in _LINE.findall(text)}
    if "VmRSS" not in lines:
        return None
    return ProcessMemory(lines["VmRSS"], lines.get("VmSwap", 0), lines.get("VmHWM"))
