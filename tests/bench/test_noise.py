"""The test of ranks agrees with a count of all arrangements, and the interval with what it stands for."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from edgelfm.bench import noise


def counted(a: list[float], b: list[float]) -> float:
    """The same probability by brute force: mean ranks of every way to split the samples."""
    every = [*a, *b]
    ranks = [sum(other < one for other in every) + (1 + sum(other == one for other in every)) / 2 for one in every]
    centre = len(a) * (len(every) + 1) / 2
    found = abs(sum(ranks[: len(a)]) - centre)
    splits = [abs(sum(some) - centre) >= found - 1e-9 for some in combinations(ranks, len(a))]
    return sum(splits) / len(splits)


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ([1, 2, 3, 4, 5], [6, 7, 8, 9, 10], 2 / 252),
        ([6, 7, 8, 9, 10], [1, 2, 3, 4, 5], 2 / 252),
        ([1, 3, 5, 7], [2, 4, 6, 8], 48 / 70),
        ([1, 1, 1, 1], [1, 1, 1, 1], 1.0),
        ([1], [2], 1.0),
    ],
)
def test_known_probabilities(a: list[float], b: list[float], said: float) -> None:
    assert noise.probability(a, b) == pytest.approx(said)


@pytest.mark.parametrize("seed", range(20))
def test_the_count_is_that_of_all_arrangements(seed: int) -> None:
    draw = random.Random(seed)
    a = [float(draw.randint(0, 6)) for _ in range(draw.randint(1, 5))]  # few values, so many ties
    b = [float(draw.randint(0, 6)) for _ in range(draw.randint(1, 5))]
    assert noise.probability(a, b) == pytest.approx(counted(a, b))


def test_many_samples_take_the_normal_approximation() -> None:
    draw = random.Random(4)
    a = [draw.gauss(100, 3) for _ in range(12)]
    b = [draw.gauss(103, 3) for _ in range(13)]
    counted_for_24 = noise.probability(a, b[:12])
    assert noise.probability(a, b) == pytest.approx(counted_for_24, abs=0.03)
    assert noise.probability([*a, *a], [*b, *b]) < noise.probability(a, b)
    assert noise.probability([1.0] * 20, [1.0] * 20) == 1.0


def test_three_on_each_side_can_show_nothing_and_four_can() -> None:
    assert noise.smallest_probability(3, 3) > noise.LEVEL > noise.smallest_probability(4, 4)
    assert noise.smallest_probability(1, 30) > noise.LEVEL


def test_the_interval_of_the_ratio_holds_the_true_one() -> None:
    held = 0
    for seed in range(100):
        draw = random.Random(seed)
        a = [draw.gauss(1.0, 0.03) for _ in range(10)]
        b = [draw.gauss(1.2, 0.03) for _ in range(10)]
        low, high = noise.ratio_interval(a, b)
        held += low <= 1.2 <= high
    assert held >= 88


def test_the_same_samples_give_the_same_interval() -> None:
    assert noise.ratio_interval([1, 2, 3], [2, 3, 4]) == noise.ratio_interval([1, 2, 3], [2, 3, 4])
