"""How busy each core is, from the counters of the kernel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgelfm.monitor.core_shares import CoreShares, parse_stat
from edgelfm.monitor.files import ROOT


def stat(*cores: tuple[int, int]) -> str:
    """/proc/stat of cores that were so long busy and idle, in hundredths of a second."""
    lines = ["cpu  1 2 3 4 5 6 7 8 9 10"]
    lines += [f"cpu{number} {busy} 0 0 {idle} 0 0 0 0 0 0" for number, (busy, idle) in enumerate(cores)]
    return "\n".join([*lines, "intr 123 4 5", "cpu9 is no core"])


def test_the_share_of_each_core_since_the_last_reading(tree: Callable[..., Path]) -> None:
    meter = CoreShares(tree({"proc/stat": stat((100, 100), (0, 500))}))
    tree({"proc/stat": stat((125, 100), (5, 515))})
    assert meter.read() == (1.0, 0.25)
    tree({"proc/stat": stat((125, 125), (30, 515))})
    assert meter.read() == (0.0, 1.0)


def test_a_clock_that_has_not_moved_says_nothing_and_loses_nothing(tree: Callable[..., Path]) -> None:
    meter = CoreShares(tree({"proc/stat": stat((100, 100))}))
    assert meter.read() is None
    tree({"proc/stat": stat((110, 110))})
    assert meter.read() == (0.5,)


def test_a_core_that_is_switched_on_later_is_left_out_once(tree: Callable[..., Path]) -> None:
    meter = CoreShares(tree({"proc/stat": stat((100, 100))}))
    tree({"proc/stat": stat((200, 100), (10, 90))})
    assert meter.read() == (1.0,)
    tree({"proc/stat": stat((200, 200), (110, 90))})
    assert meter.read() == (0.0, 1.0)


def test_time_that_a_host_took_away_counts_as_busy() -> None:
    times = parse_stat("cpu0 10 0 10 60 20 0 0 40 0 0")
    assert times == {0: (60, 140)}


@pytest.mark.parametrize("text", ["", "intr 1", "cpu0 1 2", "cpu0 a b c d e", "cpu  1 2 3 4 5"])
def test_nonsense_is_nothing(tree: Callable[..., Path], text: str) -> None:
    assert parse_stat(text) is None
    assert CoreShares(tree({"proc/stat": text})).read() is None


def test_this_machine_has_cores_whose_shares_are_shares() -> None:
    meter = CoreShares(ROOT)
    shares = None
    while shares is None:
        shares = meter.read()
    assert all(0 <= share <= 1 for share in shares)
