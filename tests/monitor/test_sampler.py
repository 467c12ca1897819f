"""Everything in one reading: recorded machines, and this one."""

from __future__ import annotations

from collections.abc import Callable
from mmap import mmap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgelfm.monitor.reading import GpuReading, Reading
from edgelfm.monitor.sampler import Paced, Sampler

MIB = 1024**2


def test_a_pi_that_is_held_back(machine: Callable[[str], Path], tree: Callable[..., Path]) -> None:
    root = machine("pi5")
    tree({
        "proc/self/status": "VmHWM:\t 2000 kB\nVmRSS:\t 1500 kB\nVmSwap:\t 100 kB",
        "proc/self/smaps_rollup": "Pss: 1200 kB\nPrivate_Dirty: 1000 kB",
        "proc/meminfo": "MemTotal: 8000 kB\nMemAvailable: 3000 kB\nSwapTotal: 400 kB\nSwapFree: 300 kB",
        "sys/block/zram0/mm_stat": "4096 1024 2048 0 2048 0 0",
        "proc/pressure/memory": "some avg10=2.50 avg60=0 avg300=0 total=0\nfull avg10=1.00 avg60=0 avg300=0 total=0",
    })  # fmt: skip
    reading = Sampler(root).read(0.0)
    assert (reading.resident_bytes, reading.swapped_bytes, reading.peak_bytes) == (1536000, 102400, 2048000)
    assert (reading.pss_bytes, reading.uss_bytes) == (1228800, 1024000)
    assert (reading.memory_available_bytes, reading.swap_used_bytes) == (3072000, 102400)
    assert (reading.zram_held_bytes, reading.zram_taken_bytes) == (4096, 2048)
    assert (reading.pressure_some, reading.pressure_full) == (2.5, 1.0)
    assert (reading.celsius, reading.megahertz) == (81.25, (1500.0,) * 4)
    assert reading.throttled == ("under-voltage", "throttled")


def test_a_jetson(machine: Callable[[str], Path], tree: Callable[..., Path]) -> None:
    root = machine("jetson")
    tree({"sys/devices/platform/gpu.0/load": 420})
    sampler = Sampler(root)
    reading = sampler.read(0.0)
    assert (reading.celsius, reading.watts, reading.joules) == (54.125, 9.2, 0.0)
    assert reading.gpus == (GpuReading("Jetson GPU", 0.42),)
    assert sampler.power_source == "VDD_IN rail"
    assert sampler.read(2.0).joules == pytest.approx(18.4)


def test_a_laptop_counts_energy_and_throttling(machine: Callable[[str], Path], tree: Callable[..., Path]) -> None:
    sampler = Sampler(machine("laptop"))
    assert sampler.read(0.0).throttled == ()
    tree({
        "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": 13,
        "sys/class/powercap/intel-rapl:0/energy_uj": 262_170_000_000,
    })  # fmt: skip
    reading = sampler.read(2.0)
    assert reading.throttled == ("heat",)
    assert (reading.watts, reading.joules) == (15.0, 30.0)
    assert sampler.read(4.0).throttled == ()


def test_a_card_draws_beside_the_processor(machine: Callable[[str], Path], tree: Callable[..., Path]) -> None:
    card: Any = SimpleNamespace(read=lambda: (GpuReading("card", watts=100.0),), close=lambda: None)
    sampler = Sampler(machine("laptop"), gpus=card)
    sampler.read(0.0)
    tree({"sys/class/powercap/intel-rapl:0/energy_uj": 262_170_000_000})
    reading = sampler.read(2.0)
    assert (reading.watts, reading.joules) == (115.0, 230.0)
    assert sampler.power_source == "RAPL package and GPU"


def test_a_machine_that_says_nothing(machine: Callable[[str], Path]) -> None:
    assert Sampler(machine("nothing")).read(1.5) == Reading(1.5)


def test_this_process() -> None:
    sampler = Sampler()
    first = sampler.read(0.0)
    held = mmap(-1, 40 * MIB)  # pages of its own: an allocator could hand out memory that was resident before
    held.write(b"x" * len(held))
    second = sampler.read(1.0)
    sampler.close()
    assert first.resident_bytes is not None
    assert second.resident_bytes is not None
    assert second.resident_bytes - first.resident_bytes == pytest.approx(len(held), rel=0.1)
    assert second.peak_bytes is not None
    assert second.peak_bytes >= 0.99 * second.resident_bytes
    assert second.cores is not None
    assert second.available_bytes is not None


def test_what_can_be_taken_is_the_tightest_of_machine_and_group() -> None:
    machine = Reading(0.0, memory_available_bytes=500)
    assert machine.available_bytes == 500
    assert Reading(0.0, memory_available_bytes=500, group_used_bytes=80, group_limit_bytes=100).available_bytes == 20
    assert Reading(0.0, group_used_bytes=120, group_limit_bytes=100).available_bytes == 0
    assert Reading(0.0).available_bytes is None


class TestPaced:
    """A reader may take a two-thousandth of the time, whatever one reading costs."""

    def test_what_costs_nothing_is_read_every_time(self) -> None:
        answers = iter(range(10))
        paced = Paced(lambda: next(answers), cost=lambda: 0.0)
        assert [paced(at / 4) for at in range(4)] == [0, 1, 2, 3]

    def test_what_costs_much_is_read_seldom_and_its_last_answer_stands(self) -> None:
        spent = 0.0
        asked: list[float] = []

        def read() -> int:
            nonlocal spent
            spent += 0.010
            asked.append(now)
            return len(asked)

        paced = Paced(read, cost=lambda: spent)
        for step in range(4 * 600):
            now = step / 4
            assert paced(now) == len(asked)
        assert 0.010 * len(asked) / 600 == pytest.approx(0.0005, rel=0.2)

    def test_what_must_not_be_asked_often_is_not(self) -> None:
        answers = iter(range(100))
        paced = Paced(lambda: next(answers), every=1.0, cost=lambda: 0.0)
        assert [paced(at / 4) for at in range(9)] == [0, 0, 0, 0, 1, 1, 1, 1, 2]
