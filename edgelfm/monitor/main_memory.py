"""How much memory has the machine left, what is swapped out, and how much of that only went into zram?"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from .files import ROOT, find, read_text

_LINE = re.compile(r"^(MemTotal|MemAvailable|MemFree|Buffers|Cached|SwapTotal|SwapFree):\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class MainMemory:
    """Bytes of the whole machine. What a control group grants of them is another matter; see `groups`."""

    total: int
    available: int  # what can be taken without swapping, as the kernel estimates it
    swap_total: int
    swap_used: int


@dataclass(frozen=True, slots=True)
class Zram:
    """Swap that is compressed and kept in main memory: it costs there what it takes, in bytes."""

    held: int  # what was put into it
    taken: int  # main memory that it takes for that


def read_main_memory(root: Path = ROOT) -> MainMemory | None:
    """/proc/meminfo on Linux, psutil elsewhere, None where neither says."""
    text = read_text(root, "/proc/meminfo")
    if text is not None:
        return parse_meminfo(text)
    if root != ROOT or sys.platform == "linux":
        return None
    import psutil

    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return MainMemory(memory.total, memory.available, swap.total, swap.used)


def parse_meminfo(text: str) -> MainMemory | None:
    """The lines of /proc/meminfo, whose "kB" are KiB."""
    lines = {name: int(value) * 1024 for name, value in _LINE.findall(text)}
    if "MemTotal" not in lines:
        return None
    # Kernels before 3.14 have no MemAvailable; free plus page cache is the old estimate of it.
    free = lines.get("MemFree", 0) + lines.get("Buffers", 0) + lines.get("Cached", 0)
    swap = lines.get("SwapTotal", 0)
    return MainMemory(lines["MemTotal"], lines.get("MemAvailable", free), swap, swap - lines.get("SwapFree", swap))


class ZramDevices:
    """The zram devices of a machine, looked for once and read many times."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._files = find(root, "/sys/block/zram*/mm_stat")

    def read(self) -> Zram | None:
        """All of them together, None where there are none."""
        devices = [one for path in self._files if (one := parse_mm_stat(read_text(self._root, path) or ""))]
        if not devices:
            return None
        return Zram(sum(one.held for one in devices), sum(one.taken for one in devices))


def parse_mm_stat(text: str) -> Zram | None:
    """/sys/block/zram0/mm_stat: orig_data_size compr_data_size mem_used_total and more, in bytes.

    See the kernel's Documentation/admin-guide/blockdev/zram.rst.
    """
    fields = text.split()[:3]
    if len(fields) < 3 or not all(field.isascii() and field.isdigit() for field in fields):
        return None
    return Zram(int(fields[0]), int(fields[2]))
