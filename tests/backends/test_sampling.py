"""Presets on scores that can be worked out by hand, for every sampler of ours that draws in Python."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from edgelfm.backends.sampling import PENALTY_WINDOW, Sampler, logprob
from edgelfm.errors import RequestError
from edgelfm.models.entry import Sampling

Pick = Callable[[list[float]], int]
Make = Callable[..., Pick]
Draws = Callable[..., "Counter[int]"]

#: Probabilities 0.5, 0.25, 0.125, 0.0625, 0.0625 for the words 3, 1, 4, 0, 2.
SCORES = [math.log(p) for p in (0.0625, 0.25, 0.0625, 0.5, 0.125)]


def _numpy(sampling: Sampling, seed: int | None, prompt: Sequence[int], bias: dict[int, float], words: int) -> Pick:
    sampler = Sampler(sampling, seed, prompt, bias, words)
    return lambda scores: sampler.pick(np.array(scores, np.float32))


def _mlx(sampling: Sampling, seed: int | None, prompt: Sequence[int], bias: dict[int, float], words: int) -> Pick:
    mx = pytest.importorskip("mlx.core", reason="needs: pip install 'edgelfm[mlx]'")
    from edgelfm.backends.mlx.sampler import Sampler

    sampler = Sampler(mx, sampling, seed, prompt, bias, words)
    return lambda scores: int(sampler.pick(mx.array([scores])).item())


@pytest.fixture(params=[_numpy, _mlx], ids=["numpy", "mlx"])
def make(request: pytest.FixtureRequest) -> Make:
    return request.param


@pytest.fixture
def draws(make: Make) -> Draws:
    """How often each word is drawn, once with every seed."""

    def draw(
        sampling: Sampling, count: int = 400, prompt: Sequence[int] = (), scores: list[float] = SCORES
    ) -> Counter[int]:
        return Counter(make(sampling, seed, prompt, {}, len(scores))(scores) for seed in range(count))

    return draw


def test_greedy_takes_the_best(draws: Draws) -> None:
    assert set(draws(Sampling(), 3)) == {3}


def test_without_filters_every_word_comes_as_often_as_it_is_likely(draws: Draws) -> None:
    drawn = draws(Sampling(temperature=1.0), 2000)
    assert drawn[3] == pytest.approx(1000, abs=110)
    assert drawn[1] == pytest.approx(500, abs=100)
    assert set(drawn) == {0, 1, 2, 3, 4}


def test_temperature_sharpens(draws: Draws) -> None:
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
def test_filters_leave_these_words(draws: Draws, sampling: Sampling, words: set[int]) -> None:
    assert set(draws(sampling)) == words


def test_a_penalty_divides_what_is_likely_and_multiplies_what_is_not(make: Make, draws: Draws) -> None:
    scores = [4.0, 3.0]
    pick = make(Sampling(repetition_penalty=1.5), None, [0, 0], {}, 2)  # twice in the prompt, penalised once
    assert pick(scores) == 1  # 4 / 1.5 < 3
    assert pick(scores) == 0  # now 3 / 1.5 < 4 / 1.5
    assert set(draws(Sampling(repetition_penalty=1.5), 2, (0,), [-1.0, -1.2])) == {1}  # -1.5 < -1.2


def test_a_penalty_forgets_what_is_long_ago(draws: Draws) -> None:
    sampling, scores = Sampling(repetition_penalty=9.0), [4.0, 3.0, 0.1]
    assert set(draws(sampling, 1, (0, *[2] * (PENALTY_WINDOW - 1)), scores)) == {1}
    assert set(draws(sampling, 1, (0, *[2] * PENALTY_WINDOW), scores)) == {0}


def test_a_bias_comes_before_all_else(make: Make) -> None:
    assert make(Sampling(), None, (), {1: 9.0}, 5)(SCORES) == 1
    assert make(Sampling(temperature=1.0, top_k=1), 3, (), {3: -math.inf}, 5)(SCORES) == 1


def test_the_row_is_left_as_it_was() -> None:
    row = np.array(SCORES, np.float32)
    Sampler(Sampling(temperature=1.0, top_p=0.9, repetition_penalty=1.3), 1, [3], {1: 2.0}, 5).pick(row)
    assert row.tolist() == np.array(SCORES, np.float32).tolist()


def test_a_bias_on_a_word_that_is_not_there_is_refused() -> None:
    with pytest.raises(RequestError, match="token 5, and the model has 5"):
        Sampler(Sampling(), None, (), {5: 1.0}, 5)


def test_a_logprob_and_the_likeliest_beside_it() -> None:
    found = logprob(np.array(SCORES, np.float32), 0, 2, lambda token: b"%d" % token)
    assert (found.id, found.piece, found.logprob) == (0, b"0", pytest.approx(math.log(0.0625)))
    assert found.top == ((3, b"3", pytest.approx(math.log(0.5))), (1, b"1", pytest.approx(math.log(0.25))))
    assert logprob(np.array(SCORES, np.float32), 0, 0, lambda _: b"").top == ()
    assert len(logprob(np.array(SCORES, np.float32), 0, 99, lambda _: b"").top) == 5
