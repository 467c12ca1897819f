"""Who slows the machine down: the bits of a Raspberry Pi, counters and cooling devices elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgelfm.monitor.throttle import began, parse_pi, read_throttle


def test_a_pi_tells_now_from_since_boot(machine: Callable[[str], Path]) -> None:
    throttle = read_throttle(machine("pi5"))
    assert throttle is not None
    assert throttle.now == ("under-voltage", "throttled")
    assert throttle.since_boot == ("under-voltage", "throttled")


def test_what_happened_since_boot_is_not_now(tree: Callable[..., Path]) -> None:
    throttle = read_throttle(tree({"sys/devices/platform/soc/soc:firmware/get_throttled": "f0000"}))
    assert throttle is not None
    assert not throttle.now
    assert len(throttle.since_boot) == 4


def test_vcgencmd_is_asked_where_the_kernel_shows_no_file(tree: Callable[..., Path]) -> None:
    root = tree({"usr/bin/vcgencmd": ""})
    throttle = read_throttle(root, ask=lambda: "throttled=0x8\n")
    assert throttle is not None
    assert throttle.now == ("soft temperature limit",)
    assert read_throttle(root, ask=lambda: None) is None


@pytest.mark.parametrize(
    ("text", "bits"), [("0", 0), ("0x50005", 0x50005), ("50005", 0x50005), ("", None), ("error=1", None)]
)
def test_bits(text: str, bits: int | None) -> None:
    assert parse_pi(text) == bits


def test_a_counter_that_grew_tells_that_it_happened(machine: Callable[[str], Path], tree: Callable[..., Path]) -> None:
    root = machine("laptop")
    before = read_throttle(root)
    assert began(before, read_throttle(root)) is False
    tree({"sys/devices/system/cpu/cpu1/thermal_throttle/package_throttle_count": 13})
    assert began(before, read_throttle(root)) is True


def test_a_cooling_device_that_holds_the_clock_counts_and_a_fan_does_not(tree: Callable[..., Path]) -> None:
    device = "sys/class/thermal/cooling_device"
    root = tree({f"{device}0/type": "cpufreq-cpu0", f"{device}0/cur_state": 0, f"{device}1/type": "pwm-fan",
                 f"{device}1/cur_state": 4})  # fmt: skip
    cool = read_throttle(root)
    assert cool is not None
    assert not cool.now
    tree({f"{device}0/cur_state": 2})
    hot = read_throttle(root)
    assert hot is not None
    assert hot.now
    assert began(cool, hot) is True


def test_a_machine_that_says_nothing_is_not_called_unthrottled(machine: Callable[[str], Path]) -> None:
    assert read_throttle(machine("nothing")) is None
    assert began(None, None) is None
