"""Main memory, and how much of it this process can really take now."""

from __future__ import annotations

import re

from .cgroups import Limits, parse_pressure
from .host import Memory
from .machine import Machine
from .macos import parse_swapusage, parse_vm_stat, sysctl, sysctl_int
from .system import system_of


def read_memory(machine: Machine, limits: Limits) -> Memory:
    """The memory of a machine. `limits` are those of the cgroups this process is in."""
    system = system_of(machine.facts)
    if system == "darwin":
        return _macos(machine)
    if system == "windows":
        return _windows(machine)
    return _linux(machine, limits)


def parse_meminfo(text: str) -> dict[str, int]:
    """/proc/meminfo in bytes. Its "kB" are KiB."""
    lines = re.findall(r"^([\w()]+):\s+(\d{1,18})(?: kB)?\s*$", text, re.MULTILINE | re.ASCII)
    return {name: int(value) * 1024 for name, value in lines}


def parse_swaps(text: str) -> tuple[int, int]:
    """/proc/swaps: bytes of swap on disk, and bytes of swap compressed in memory (zram)."""
    disk = zram = 0
    for line in text.splitlines()[1:]:
        match = re.match(r"(\S+)\s+\w+\s+(\d{1,18})\s", line, re.ASCII)
        if match and match[1].startswith("/dev/zram"):
            zram += int(match[2]) * 1024
        elif match:
            disk += int(match[2]) * 1024
    return disk, zram


def _linux(machine: Machine, limits: Limits) -> Memory:
    info = parse_meminfo(machine.read("/proc/meminfo") or "")
    total = info.get("MemTotal", 0)
    # Kernels before 3.14 have no MemAvailable; free plus page cache is the old estimate of it.
    free = info.get("MemFree", 0) + info.get("Buffers", 0) + info.get("Cached", 0)
    available = min([info.get("MemAvailable", free), *(limit.available for limit in limits.memory)])
    tightest = min(limits.memory, key=lambda limit: limit.limit, default=None)
    limited = tightest is not None and tightest.limit < total
    disk, zram = parse_swaps(machine.read("/proc/swaps") or "")
    pressures = (parse_pressure(machine.read("/proc/pressure/memory") or ""), limits.pressure_some_avg10)
    return Memory(
        total_bytes=total,
        available_bytes=available,
        limit_bytes=tightest.limit if tightest and limited else None,
        limit_source=tightest.source if tightest and limited else "",
        swap_bytes=disk,
        zram_bytes=zram,
        page_size=machine.facts.page_size,
        pressure_some_avg10=max((value for value in pressures if value is not None), default=None),
    )


def _macos(machine: Machine) -> Memory:
    total = sysctl_int(sysctl(machine), "hw.memsize") or 0
    vm_stat = machine.run("vm_stat")
    pages = parse_vm_stat(vm_stat.text) if vm_stat else {}
    swap = machine.run("sysctl", "vm.swapusage")
    return Memory(
        total_bytes=total,
        # Speculative pages are file pages read ahead; like inactive ones they are dropped on demand.
        available_bytes=sum(pages.get(kind, 0) for kind in ("free", "inactive", "speculative")),
        swap_bytes=parse_swapusage(swap.text) if swap else 0,
        page_size=machine.facts.page_size,
    )


def _windows(machine: Machine) -> Memory:
    counters = machine.counters()
    if counters is None:
        return Memory(page_size=machine.facts.page_size)
    return Memory(
        total_bytes=counters.memory_total,
        available_bytes=counters.memory_available,
        swap_bytes=counters.swap_total,
        page_size=machine.facts.page_size,
    )
