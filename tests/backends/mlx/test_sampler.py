"""Presets on scores that can be worked out by hand."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from edgelfm.backends.mlx.sampler import PENALTY_WINDOW, Sampler
from edgelfm.models.entry import Sampling

mx = pytest.importorskip("mlx.core", reason="needs: pip install 'edgelfm[mlx]'")

#: Probabilities 0.5, 0.25, 0.125, 0.0625, 0.0625 for the words 3, 1, 4, 0, 2.
SCORES = [math.log(p) for p in (0.0625, 0.25, 0.0625, 0.5, 0.125)]


def draws(sampling: Sampling, count: int = 400, prompt: tuple[int, ...] = (), scores: list[float] = SCORES) -> Counter:
    logits = mx.array([scores])
    return Counter(int(Sampler(mx, sampling, seed, prompt, {}).pick(logits).item()) for seed in range(count))


def test_greedy_takes_the_best() -> None:
    assert set(draws(Sampling(), 3)) == {3}


def test_without_filters_every_word_comes_as_often_as_it_is_likely() -> None:
    drawn = draws(Sampling(temperature=1.0), 2000)
    assert drawn[3] == pytest.approx(1000, abs=110)
    assert drawn[1] == pytest.approx(500, abs=100)
    assert set(drawn) == {0, 1, 2, 3, 4}


def test_temperature_sharpens() -> None:
    """At 0.5 probabilities are squared: 0.5² of 0.25 + 0.0625 + 0.015625 + 2 × 0.00390625."""
    assert draws(Sampling(temperature=0.5), 2000)[3] == pytest.approx(2000 * 0.25 / 0.3359, abs=110)


@pytest.mark.parametrize(
    ("sampling", "words"),
    [
        (Sampling(temperature=1.0, top_k=1), {3}),
        (Sampling(temperature=1.0, top_k=3), {3, 1, 4}),
        (Sampling(temperature=1.0, top_k=99), {0, 1, 2, 3, 4}),
        (Sampling(temperature=1.0, top_p=0.0), {3}),
        (Sampling(temperature=1.0, top_p=0.49), {3}),
        (Sampling(temperature=1.0, top_p=0.7), {3, 1}),
        (Sampling(temperature=1.0, top_p=0.8), {3, 1, 4}),
        (Sampling(temperature=1.0, min_p=1.0), {3}),
        (Sampling(temperature=1.0, min_p=0.2), {3, 1, 4}),
        # top-k leaves 3, 1 and 4; of what is left they have 4/7, 2/7 and 1/7, so top-p needs two of them.
        (Sampling(temperature=1.0, top_k=3, top_p=0.8), {3, 1}),
        # Filters look at probabilities before the temperature flattens them.
        (Sampling(temperature=50.0, top_p=0.7), {3, 1}),
        (Sampling(temperature=50.0, min_p=0.4), {3, 1}),
    ],
)
def test_filters_leave_these_words(sampling: Sampling, words: set[int]) -> None:
    assert set(draws(sampling)) == words


def test_a_penalty_divides_what_is_likely_and_multiplies_what_is_not() -> None:
    scores = [4.0, 3.0]
    sampler = Sampler(mx, Sampling(repetition_penalty=1.5), None, [0, 0], {})  # twice in the prompt, penalised once
    assert int(sampler.pick(mx.array([scores])).item()) == 1  # 4 / 1.5 < 3
    assert int(sampler.pick(mx.array([scores])).item()) == 0  # now 3 / 1.5 < 4 / 1.5
    assert set(draws(Sampling(repetition_penalty=1.5), 2, (0,), [-1.0, -1.2])) == {1}  # -1.5 < -1.2


def test_a_penalty_forgets_what_is_long_ago() -> None:
    sampling, scores = Sampling(repetition_penalty=9.0), [4.0, 3.0, 0.1]
    assert set(draws(sampling, 1, (0, *[2] * (PENALTY_WINDOW - 1)), scores)) == {1}
    assert set(draws(sampling, 1, (0, *[2] * PENALTY_WINDOW), scores)) == {0}
