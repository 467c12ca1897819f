"""Memory of a process, as /proc tells it and as this very process has it."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelfm.monitor.memory import ProcessMemory, SharedMemory, parse_rollup, parse_status, read_process, read_shared

MIB = 1024**2


def test_what_was_swapped_out_still_counts() -> None:
    told = parse_status("Name:\tpython\nVmHWM:\t  3000 kB\nVmRSS:\t  2000 kB\nVmSwap:\t   500 kB\n")
    assert told == ProcessMemory(2000 * 1024, 500 * 1024, 3000 * 1024)
    assert told.footprint == 2500 * 1024


def test_a_process_that_has_ended_has_none(tree: Callable[..., Path]) -> None:
    assert parse_status("Name:\tpython\nState:\tZ (zombie)\n") is None
    assert read_process(1, tree({})) is None
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert read_process(child.pid) is None


def test_this_process_grows_by_what_it_takes() -> None:
    before = read_process(os.getpid())
    assert before is not None
    held = mmap.mmap(-1, 64 * MIB)  # fresh from the system, where Python may use again what it has
    held.write(bytes(64 * MIB))
    after = read_process(os.getpid())
    assert after is not None
    assert after.resident - before.resident == pytest.approx(len(held), rel=0.1)


def test_what_is_shared_counts_in_part_and_what_is_private_whole() -> None:
    text = (
        "55d0-7ffe ---p 00000000 00:00 0    [rollup]\nRss:  900 kB\nPss:  500 kB\nPss_Dirty:  90 kB\n"
        "Shared_Clean:  500 kB\nPrivate_Clean:  100 kB\nPrivate_Dirty:  300 kB\nSwap:  0 kB\n"
    )
    assert parse_rollup(text) == SharedMemory(pss=500 * 1024, uss=400 * 1024)
    assert parse_rollup("") is None


def test_this_process_has_memory_of_its_own(tree: Callable[..., Path]) -> None:
    shared, process = read_shared(), read_process()
    assert shared is not None
    assert process is not None
    assert 0 < shared.uss <= shared.pss <= 1.05 * process.resident
    assert read_shared(root=tree({})) is None
