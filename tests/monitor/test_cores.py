"""Cores that other programs take, from two readings of a folder that stands in for /proc."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelfm.monitor.cores import SHORTEST_SECONDS, CoresTaken, cores_taken


class Machine:
    """A root with a /proc/stat that tests write, a clock and our own processor time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = self.own = 0.0
        (root / "proc").mkdir()
        self.write("cpu0 100 0 50 9000 10 0 5 0 0 0", "cpu1 200 0 50 9000 10 0 5 0 0 0")

    def write(self, *cores: str) -> None:
        text = "\n".join(["cpu  1 2 3 4 5 6 7 8 9 10", *cores, "intr 1 2 3", "cpu9 is no core here"])
        (self.root / "proc/stat").write_text(text + "\n")

    def meter(self, cpus: frozenset[int] | None = None) -> CoresTaken:
        return CoresTaken(
            self.root, cpus=cpus if cpus is not None else frozenset({0, 1}), own=lambda: self.own,
            clock=lambda: self.now,
        )  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_work_of_others_is_counted_in_cores(machine: Machine) -> None:
    meter = machine.meter()
    machine.now = 1.0
    machine.write("cpu0 150 0 50 9000 10 0 5 0 0 0", "cpu1 300 0 50 9000 10 0 5 0 0 0")
    assert meter.read() == pytest.approx(1.5)


def test_our_own_work_with_all_its_threads_is_not_others(machine: Machine) -> None:
    meter = machine.meter()
    machine.now, machine.own = 1.0, 1.25
    machine.write("cpu0 150 0 50 9000 10 0 5 0 0 0", "cpu1 300 0 50 9000 10 0 5 0 0 0")
    assert meter.read() == pytest.approx(0.25)


def test_more_of_our_own_than_the_kernel_has_counted_yet_is_nothing_of_others(machine: Machine) -> None:
    meter = machine.meter()
    machine.now, machine.own = 1.0, 0.02
    assert meter.read() == 0.0


def test_waiting_for_a_disk_is_idle_and_time_given_to_other_guests_is_taken(machine: Machine) -> None:
    meter = machine.meter()
    machine.now = 1.0
    machine.write("cpu0 100 0 50 9000 90 0 5 0 0 0", "cpu1 200 0 50 9000 10 0 5 60 0 0")
    assert meter.read() == pytest.approx(0.6)


def test_guest_time_is_not_counted_twice(machine: Machine) -> None:
    meter = machine.meter()
    machine.now = 1.0
    machine.write("cpu0 150 0 50 9000 10 0 5 0 50 0", "cpu1 200 0 50 9000 10 0 5 0 0 0")
    assert meter.read() == pytest.approx(0.5)


def test_cores_outside_the_affinity_do_not_matter(machine: Machine) -> None:
    meter = machine.meter(frozenset({0}))
    machine.now = 1.0
    machine.write("cpu0 110 0 50 9000 10 0 5 0 0 0", "cpu1 300 0 50 9000 10 0 5 0 0 0")
    assert meter.read() == pytest.approx(0.1)


def test_each_reading_covers_the_time_since_the_last(machine: Machine) -> None:
    meter = machine.meter()
    machine.now = 1.0
    machine.write("cpu0 200 0 50 9000 10 0 5 0 0 0", "cpu1 200 0 50 9000 10 0 5 0 0 0")
    assert meter.read() == pytest.approx(1.0)
    machine.now = 3.0
    assert meter.read() == 0.0


def test_a_reading_too_soon_says_nothing_and_loses_nothing(machine: Machine) -> None:
    meter = machine.meter()
    machine.write("cpu0 110 0 50 9000 10 0 5 0 0 0", "cpu1 200 0 50 9000 10 0 5 0 0 0")
    machine.now = SHORTEST_SECONDS / 2
    assert meter.read() is None
    machine.now = 0.1
    assert meter.read() == pytest.approx(1.0)


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.unlink(),
        lambda file: file.write_text(""),
        lambda file: file.write_text("cpu0 1 2 3\n"),
        lambda file: file.write_text("cpu0 1 2 3 four 5 6 7 8\n"),
        lambda file: file.write_bytes(b"\xff\xfe\x00"),
    ],
)
def test_a_system_that_does_not_say_gives_no_reading(machine: Machine, damage: Callable[[Path], object]) -> None:
    damage(machine.root / "proc/stat")
    meter = machine.meter()
    machine.now = 1.0
    assert meter.read() is None


def test_a_file_that_comes_back_is_read_again(machine: Machine) -> None:
    file = machine.root / "proc/stat"
    text = file.read_text()
    file.unlink()
    meter = machine.meter()
    file.write_text(text)
    machine.now = 1.0
    assert meter.read() is None  # this was the first
    machine.now = 2.0
    assert meter.read() == 0.0


def test_a_busy_loop_in_another_process_takes_a_core_of_this_machine() -> None:
    meter = CoresTaken()
    if meter.read() is None and cores_taken() is None:
        pytest.skip("to run: a system that says what its cores do")
    loop = subprocess.Popen([sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE)
    try:
        assert loop.stdout is not None
        loop.stdout.read(1)
        meter = CoresTaken()
        _compute(0.4)
        taken = meter.read()
    finally:
        loop.kill()
        loop.communicate()
    assert taken is not None
    assert taken > 0.3


def _compute(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass
