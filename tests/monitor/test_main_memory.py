"""What the machine has left, and what zram holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from edgelfm.monitor.main_memory import MainMemory, Zram, ZramDevices, parse_meminfo, parse_mm_stat, read_main_memory

KIB = 1024


def test_available_and_swap() -> None:
    text = "MemTotal:       8000 kB\nMemFree: 100 kB\nMemAvailable:   3000 kB\nSwapTotal: 500 kB\nSwapFree: 200 kB\n"
    assert parse_meminfo(text) == MainMemory(8000 * KIB, 3000 * KIB, 500 * KIB, 300 * KIB)


def test_an_old_kernel_says_free_and_cached() -> None:
    told = parse_meminfo("MemTotal: 8000 kB\nMemFree: 1000 kB\nBuffers: 100 kB\nCached: 400 kB\n")
    assert told == MainMemory(8000 * KIB, 1500 * KIB, 0, 0)


@pytest.mark.parametrize("text", ["", "MemTotal: lots", "MemFree: 5 kB"])
def test_nonsense_is_nothing(text: str) -> None:
    assert parse_meminfo(text) is None


def test_all_zram_devices_together(tree: Callable[..., Path]) -> None:
    root = tree({
        "sys/block/zram0/mm_stat": "  400000   90000   100000        0   100000      12        0        0        0",
        "sys/block/zram1/mm_stat": "  100000   20000    30000        0    30000       0        0",
    })  # fmt: skip
    assert ZramDevices(root).read() == Zram(held=500_000, taken=130_000)


@pytest.mark.parametrize("text", ["", "1 2", "a b c", "1 2 -3"])
def test_a_device_that_says_nonsense_is_left_out(tree: Callable[..., Path], text: str) -> None:
    assert parse_mm_stat(text) is None
    assert ZramDevices(tree({"sys/block/zram0/mm_stat": text})).read() is None


def test_nothing_says_nothing(machine: Callable[[str], Path]) -> None:
    assert read_main_memory(machine("nothing")) is None
    assert ZramDevices(machine("nothing")).read() is None


def test_this_machine() -> None:
    told = read_main_memory()
    assert told is not None
    assert told.total == psutil.virtual_memory().total
    assert 0 < told.available <= told.total
