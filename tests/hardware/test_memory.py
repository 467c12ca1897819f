"""Memory from the texts the systems give."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgelfm.hardware.cgroups import Limits, MemoryLimit
from edgelfm.hardware.machine import Machine
from edgelfm.hardware.macos import parse_swapusage, parse_vm_stat
from edgelfm.hardware.memory import parse_meminfo, parse_swaps, read_memory

Build = Callable[..., Machine]
MEMINFO = "MemTotal:  8000 kB\nMemFree:  1000 kB\nMemAvailable:  6000 kB\nBuffers:  100 kB\nCached:  2000 kB\n"
SWAPS = "Filename  Type  Size  Used  Priority\n"


def test_meminfo_is_in_kib() -> None:
    parsed = parse_meminfo(MEMINFO + "HugePages_Total:       0\nActive(file):  5 kB\nbroken line\n")
    assert parsed["MemTotal"] == 8000 * 1024
    assert parsed["Active(file)"] == 5 * 1024


@pytest.mark.parametrize(
    ("lines", "disk", "zram"),
    [
        ("", 0, 0),
        ("/dev/zram0 partition 2048 0 100\n", 0, 2048 * 1024),
        ("/var/swap file 512 0 -2\n/dev/zram0 partition 64 0 5\n/dev/zram1 partition 64 0 5\n", 512 * 1024, 128 * 1024),
        ("nonsense\n", 0, 0),
    ],
)
def test_zram_is_not_swap_on_disk(lines: str, disk: int, zram: int) -> None:
    assert parse_swaps(SWAPS + lines) == (disk, zram)


def test_what_is_available_is_the_least_of_all(build_machine: Build) -> None:
    machine = build_machine({"/proc/meminfo": MEMINFO})
    tight = MemoryLimit("cgroup v2 /a", 5000 * 1024, 700 * 1024)
    loose = MemoryLimit("cgroup v2 /", 2**40, 2**40)
    memory = read_memory(machine, Limits((loose, tight)))
    assert (memory.available_bytes, memory.limit_bytes) == (700 * 1024, 5000 * 1024)
    assert memory.limit_source == "cgroup v2 /a"


def test_a_limit_above_the_memory_is_none(build_machine: Build) -> None:
    memory = read_memory(build_machine({"/proc/meminfo": MEMINFO}), Limits((MemoryLimit("x", 2**40, 2**40),)))
    assert (memory.limit_bytes, memory.available_bytes) == (None, 6000 * 1024)


def test_old_kernels_have_no_memavailable(build_machine: Build) -> None:
    old = MEMINFO.replace("MemAvailable:  6000 kB\n", "")
    assert read_memory(build_machine({"/proc/meminfo": old}), Limits()).available_bytes == 3100 * 1024


def test_pressure_is_the_worse_of_system_and_group(build_machine: Build) -> None:
    machine = build_machine({"/proc/pressure/memory": "some avg10=3.00 avg60=0.00 avg300=0.00 total=1\n"})
    assert read_memory(machine, Limits(pressure_some_avg10=8.0)).pressure_some_avg10 == 8.0
    assert read_memory(machine, Limits()).pressure_some_avg10 == 3.0


def test_vm_stat() -> None:
    text = "Mach Virtual Memory Statistics: (page size of 16384 bytes)\nPages free:  10.\nPages inactive:  5.\nbad\n"
    assert parse_vm_stat(text) == {"free": 10 * 16384, "inactive": 5 * 16384}


def test_swapusage() -> None:
    assert parse_swapusage("vm.swapusage: total = 2048.00M  used = 1.50M  free = 2046.50M  (encrypted)") == 2**31
    assert parse_swapusage("") == 0
