"""Races over landscapes whose best is known, on machines that are noisy, drift and have bursts of other work."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest

from edgelfm.tuning.search import Race, descend, race


class NoisyMachine:
    """Ways with true seconds, measured on a clock of its own: 10 % noise, a slow drift, now and then a burst."""

    def __init__(self, true: Sequence[float], seed: int, noise: float = 0.1, bursts: float = 0.03) -> None:
        self.true, self.noise, self.bursts = list(true), noise, bursts
        self.draw = random.Random(seed)
        self.phase = self.draw.uniform(0, 6)
        self.now = self.burst_until = 0.0
        self.measured = [0] * len(true)

    def measure(self, way: int) -> float:
        taken = self.true[way] * math.exp(self.draw.gauss(0, self.noise)) * (1 + 0.2 * math.sin(self.phase + self.now))
        if self.now >= self.burst_until and self.draw.random() < self.bursts:
            self.burst_until = self.now + self.draw.uniform(0, 8) * self.true[way]
        if self.now < self.burst_until:
            taken *= self.draw.uniform(1.5, 4)
        self.now += taken
        self.measured[way] += 1
        return taken

    def race(self, seconds: float, rounds: int = 500) -> Race[int]:
        return race(range(len(self.true)), self.measure, seconds=seconds, rounds=rounds, clock=lambda: self.now)


LANDSCAPES = {
    "two numbers of threads": [0.09, 0.05],
    "one core taken": [0.05, 0.14],
    "eight threads on eight cores": [0.30, 0.16, 0.09, 0.06, 0.05],
    "flash attention helps a little": [0.050, 0.054, 0.090, 0.097],
    "micro-batches are nearly equal": [0.0505, 0.050, 0.0502, 0.0515],
    "threads and flash attention": [0.090, 0.091, 0.055, 0.051, 0.062, 0.058],
}


@pytest.mark.parametrize("name", LANDSCAPES)
def test_the_choice_is_within_three_percent_of_the_best(name: str) -> None:
    good = 0
    for seed in range(100):
        machine = NoisyMachine(LANDSCAPES[name], seed)
        good += machine.true[machine.race(seconds=10).best] <= 1.03 * min(machine.true)
    assert good >= 95


def test_what_is_usual_stays_until_something_is_surely_better() -> None:
    once = Race((64, 128), {64: [(0, 0.100)], 128: [(0, 0.104)]}, [64, 128])
    assert (once.best, once.unless(128)) == (64, 128)
    often = Race((64, 128), {64: [(n, 0.100) for n in range(9)], 128: [(n, 0.120) for n in range(9)]}, [64, 128])
    assert often.unless(128) == 64
    assert often.unless(64) == 64


def test_so_it_is_in_landscapes_drawn_at_random() -> None:
    good = 0
    for seed in range(100):
        draw = random.Random(1000 + seed)
        machine = NoisyMachine([0.05 * math.exp(draw.uniform(0, 0.6)) for _ in range(4)], seed)
        good += machine.true[machine.race(seconds=15).best] <= 1.03 * min(machine.true)
    assert good >= 95


def test_on_a_quiet_machine_it_is_settled_after_few_rounds() -> None:
    machine = NoisyMachine([0.05, 0.09, 0.1, 0.2], 0, noise=0.005, bursts=0)
    assert machine.race(seconds=60).best == 0
    assert machine.now < 4
    assert max(machine.measured) <= 8


def test_losers_are_dropped_and_the_time_goes_to_those_that_are_close() -> None:
    machine = NoisyMachine([0.05, 0.051, 0.2], 0, noise=0.03, bursts=0)
    machine.race(seconds=5)
    assert machine.measured[2] < machine.measured[0] / 2


def test_a_tie_goes_to_the_first() -> None:
    for seed in range(20):
        machine = NoisyMachine([0.05, 0.05, 0.05], seed, noise=0.003, bursts=0)
        assert machine.race(seconds=20).best == 0


def test_a_drift_favours_nobody() -> None:
    """Every round is slower than the one before, by half."""
    now = 0

    def measure(way: str) -> float:
        nonlocal now
        round_number, now = now // 2, now + 1
        return {"slow": 1.1, "fast": 1.0}[way] * 1.5**round_number

    run = race(["slow", "fast"], measure, seconds=20, clock=lambda: now)
    assert run.best == "fast"


def test_the_time_is_kept() -> None:
    machine = NoisyMachine([0.05] * 8, 3)
    machine.race(seconds=3)
    assert machine.now < 3.5


def test_every_way_is_measured_once_even_without_time() -> None:
    machine = NoisyMachine([0.05] * 5, 0)
    machine.race(seconds=0)
    assert machine.measured == [1] * 5


def test_a_race_of_one_tells_its_spread() -> None:
    machine = NoisyMachine([0.05], 0)
    assert len(machine.race(seconds=10).raw(0)) == 3


def test_a_dropped_way_can_still_be_asked_for() -> None:
    machine = NoisyMachine([0.05, 0.2, 0.21], 0, noise=0.01, bursts=0)
    run = machine.race(seconds=10)
    assert run.least([1, 2]) == 1
    assert run.seconds(1) == pytest.approx(0.2, rel=0.25)  # the drift of the machine is in it


def test_fewer_threads_than_the_hopeless_are_not_tried() -> None:
    seconds = {8: 1.1, 4: 1.0, 2: 1.9, 1: 4.0}
    worth, found = descend([8, 4, 2, 1], seconds.__getitem__)
    assert worth == [8, 4]
    assert set(found) == {8, 4, 2}


def test_beside_a_busy_program_the_way_down_goes_on_while_it_helps() -> None:
    seconds = {8: 9.0, 4: 4.0, 2: 2.0, 1: 1.2}
    worth, _ = descend([8, 4, 2, 1], seconds.__getitem__)
    assert worth == [1]


def test_one_slow_measurement_makes_nothing_hopeless() -> None:
    answers = {4: iter([1.0]), 2: iter([5.0, 1.1]), 1: iter([1.2])}
    worth, found = descend([4, 2, 1], lambda way: next(answers[way]))
    assert worth == [4, 2, 1]
    assert found[2] == 1.1
