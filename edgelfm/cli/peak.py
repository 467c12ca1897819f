"""How much memory this process has had at its peak, as the operating system counts it."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_bytes() -> int:
    """Highest resident memory of this process so far, in bytes.

    `VmHWM` of /proc/self/status on Linux, where `ru_maxrss` would inherit the peak of the program that started us.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        import psutil

        peak: int = psutil.Process().memory_info().peak_wset
        return peak
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
