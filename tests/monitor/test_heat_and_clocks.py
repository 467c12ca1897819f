"""Heat and clocks as boards, laptops and desktops show them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgelfm.monitor.clocks import megahertz
from edgelfm.monitor.heat import Zone, hottest, read_zones


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("pi5", Zone("cpu-thermal", 81.25)),
        ("jetson", Zone("gpu-thermal", 54.125)),
        ("laptop", Zone("x86_pkg_temp", 64.0)),
        ("desktop", Zone("k10temp Tctl", 58.375)),
        ("nothing", None),
    ],
)
def test_the_hottest_sensor(machine: Callable[[str], Path], name: str, zone: Zone | None) -> None:
    assert hottest(machine(name)) == zone


def test_a_sensor_that_is_asleep_does_not_count(machine: Callable[[str], Path]) -> None:
    assert [zone.name for zone in read_zones(machine("jetson"))] == ["cpu-thermal", "gpu-thermal"]


@pytest.mark.parametrize("text", ["", "hot", "99999999", "0", "-1"])
def test_a_broken_sensor_says_nothing(tree: Callable[..., Path], text: str) -> None:
    root = tree({"sys/class/thermal/thermal_zone0/type": "x", "sys/class/thermal/thermal_zone0/temp": text})
    assert hottest(root) is None


@pytest.mark.parametrize(("name", "mhz"), [("pi5", 1500.0), ("desktop", 4000.0), ("nothing", None)])
def test_clocks(machine: Callable[[str], Path], name: str, mhz: float | None) -> None:
    assert megahertz(machine(name)) == mhz
