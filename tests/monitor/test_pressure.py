"""Tasks that wait for memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgelfm.monitor.pressure import Pressure, parse_pressure, read_pressure

CALM = "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0"
TIGHT = "some avg10=37.50 avg60=4.00 avg300=0.10 total=9\nfull avg10=12.25 avg60=1.00 avg300=0.00 total=4"


def test_both_lines() -> None:
    assert parse_pressure(TIGHT) == Pressure(some=37.5, full=12.25)


def test_a_group_may_wait_where_the_machine_does_not(tree: Callable[..., Path]) -> None:
    root = tree({"proc/pressure/memory": CALM, "sys/fs/cgroup/app/memory.pressure": TIGHT})
    assert read_pressure(root) == Pressure(0.0, 0.0)
    assert read_pressure(root, "/sys/fs/cgroup/app") == Pressure(37.5, 12.25)


@pytest.mark.parametrize("text", ["", "some", "full avg10=1.00", "some avg10=nan"])
def test_a_kernel_that_does_not_keep_it(tree: Callable[..., Path], text: str) -> None:
    assert read_pressure(tree({"proc/pressure/memory": text})) is None
