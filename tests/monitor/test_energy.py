"""Energy counters that go round, rails of a Jetson, batteries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelfm.monitor.energy import Counter, EnergyMeter, Power, joules_between, read_counters, read_power


def test_packages_are_counted_and_their_parts_are_not(machine: Callable[[str], Path]) -> None:
    assert [counter.name for counter in read_counters(machine("laptop"))] == ["package-0"]


def test_a_counter_that_went_round(machine: Callable[[str], Path], tree: Callable[..., Path]) -> None:
    root = machine("laptop")
    before = read_counters(root)
    tree({"sys/class/powercap/intel-rapl:0/energy_uj": 1_671_150})
    assert joules_between(before, read_counters(root)) == pytest.approx(5.0)


@given(start=st.floats(0, 999.9), used=st.floats(0, 999))
def test_energy_is_what_was_used_wherever_the_counter_stands(start: float, used: float) -> None:
    def at(joules: float) -> Counter:
        return Counter("package-0", joules % 1000, 1000.0)

    assert joules_between([at(start)], [at(start + used)]) == pytest.approx(used, abs=1e-6)


def test_two_packages_add_up_and_one_that_appears_later_does_not_count() -> None:
    before = [Counter("package-0", 1.0, 10.0), Counter("package-1", 2.0, 10.0)]
    after = [Counter("package-0", 2.0, 10.0), Counter("package-1", 5.0, 10.0), Counter("package-2", 9.0, 10.0)]
    assert joules_between(before, after) == pytest.approx(4.0)
    assert joules_between([], after) is None


def test_a_counter_that_may_not_be_read_is_none(machine: Callable[[str], Path]) -> None:
    root = machine("laptop")
    (root / "sys/class/powercap/intel-rapl:0/energy_uj").unlink()
    assert read_counters(root) == ()


@pytest.mark.parametrize(
    ("name", "power"),
    [("jetson", Power(9.2, "VDD_IN rail")), ("laptop", Power(16.94, "battery")), ("desktop", None), ("nothing", None)],
)
def test_power_now(machine: Callable[[str], Path], name: str, power: Power | None) -> None:
    told = read_power(machine(name))
    assert (told and told.source) == (power and power.source)
    assert (told.watts if told else 0) == pytest.approx(power.watts if power else 0)


def test_a_battery_that_is_charged_tells_nothing(machine: Callable[[str], Path], tree: Callable[..., Path]) -> None:
    machine("laptop")
    assert read_power(tree({"sys/class/power_supply/BAT0/status": "Charging"})) is None


def test_a_meter_of_counters_knows_mean_power(machine: Callable[[str], Path], tree: Callable[..., Path]) -> None:
    meter = EnergyMeter(machine("laptop"))
    assert meter.read(10.0) is None
    tree({"sys/class/powercap/intel-rapl:0/energy_uj": 262_141_000_000})
    watts, joules = meter.read(12.0) or (0.0, 0.0)
    assert (watts, joules) == pytest.approx((0.5, 1.0))
    assert meter.source == "RAPL package"


def test_a_meter_of_rails_adds_up_power(machine: Callable[[str], Path], tree: Callable[..., Path]) -> None:
    meter = EnergyMeter(machine("jetson"))
    assert meter.read(10.0) == (pytest.approx(9.2), 0.0)
    tree({"sys/class/hwmon/hwmon1/curr1_input": 2160})
    assert meter.read(12.0) == (pytest.approx(10.8), pytest.approx(20.0))
    assert meter.source == "VDD_IN rail"


def test_on_mains_nothing_is_known(tree: Callable[..., Path], machine: Callable[[str], Path]) -> None:
    root = machine("laptop")
    (root / "sys/class/powercap/intel-rapl:0/energy_uj").unlink()
    meter = EnergyMeter(root)
    assert meter.read(0.0) is not None
    tree({"sys/class/power_supply/BAT0/status": "Charging"})
    assert meter.read(10.0) is None
    tree({"sys/class/power_supply/BAT0/status": "Discharging"})
    assert meter.read(20.0) == (pytest.approx(16.94), 0.0)
