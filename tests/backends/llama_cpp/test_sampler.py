"""The sampler against the same chain written plainly in numpy, and against llama.cpp's own links for bias and penalty.

The logits are those of real models after a real prompt.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import llama_cpp
import numpy
import pytest

from edgelfm.backends.llama_cpp.loading import Loaded, load
from edgelfm.backends.llama_cpp.sampler import PENALTY_WINDOW, Sampler
from edgelfm.errors import RequestError
from edgelfm.models.entry import Sampling
from tests.backends.conftest import settings

PROMPT = "<|im_start|>user\nCount to ten and back: one two three two one two<|im_end|>\n<|im_start|>assistant\n"
BAN = float("-inf")


class Evaluated:
    """A model that has read a prompt, so that there are logits to sample from."""

    def __init__(self, path: Path) -> None:
        self.loaded: Loaded = load(path, settings(micro_batch=256))
        vocab = llama_cpp.llama_model_get_vocab(self.loaded.model)
        self.size: int = llama_cpp.llama_vocab_n_tokens(vocab)
        ids = (ctypes.c_int32 * 200)()
        data = PROMPT.encode()
        count = llama_cpp.llama_tokenize(vocab, data, len(data), ids, 200, False, True)
        self.prompt: list[int] = ids[:count]
        assert llama_cpp.llama_decode(self.loaded.context, llama_cpp.llama_batch_get_one(ids, count)) == 0

    def logits(self) -> numpy.ndarray:
        return numpy.array(llama_cpp.llama_get_logits_ith(self.loaded.context, -1)[: self.size], numpy.float32)

    def sampler(self, sampling: Sampling, seed: int | None = 1, bias: Mapping[int, float] | None = None) -> Sampler:
        return Sampler(llama_cpp, self.size, sampling, seed, bias or {})

    def draws(
        self, sampling: Sampling, count: int, seen: list[int] | None = None, bias: Mapping[int, float] | None = None
    ) -> Counter[int]:
        """What `count` draws gave, each as if it were the first after `seen`."""
        drawn: Counter[int] = Counter()
        for start in range(0, count, 20):  # a seed gives a run of draws; the penalty must not see the earlier ones
            sampler = self.sampler(sampling, start, bias)
            for _ in range(20):
                sampler._accepted = 0
                sampler.accept(seen or [])
                drawn[sampler.sample(self.loaded.context)] += 1
            sampler.close()
        return drawn


@pytest.fixture(scope="module", params=["tiny_path", "starter_path"])
def model(request: pytest.FixtureRequest) -> Iterator[Evaluated]:
    made = Evaluated(request.getfixturevalue(request.param))
    yield made
    made.loaded.free()


def plainly(logits: numpy.ndarray, sampling: Sampling, seen: list[int]) -> dict[int, float]:
    """Tokens that may be drawn, and how likely each is."""
    scores = logits.astype(numpy.float64)
    for token in set(seen[-PENALTY_WINDOW:]):
        penalty = sampling.repetition_penalty
        scores[token] = scores[token] / penalty if scores[token] > 0 else scores[token] * penalty
    order = numpy.argsort(-scores, kind="stable")
    order = order[: sampling.top_k or len(order)]
    if sampling.top_p is not None:
        probabilities = numpy.exp(scores[order] - scores[order[0]])
        sums = numpy.cumsum(probabilities / probabilities.sum())
        order = order[: int(numpy.argmax(sums >= sampling.top_p)) + 1]
    if sampling.min_p:
        order = order[scores[order] >= scores[order[0]] + numpy.log(sampling.min_p)]
    weights = numpy.exp((scores[order] - scores[order[0]]) / sampling.temperature)
    return dict(zip(order.tolist(), (weights / weights.sum()).tolist(), strict=True))


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=10, top_k=12),
        Sampling(temperature=10, top_k=30, top_p=0.8),
        Sampling(temperature=10, top_k=30, min_p=0.3),
        Sampling(temperature=10, top_k=40, repetition_penalty=1.5),
        Sampling(temperature=10, top_k=40, top_p=0.95, min_p=0.1, repetition_penalty=1.2),
    ],
    ids=str,
)
def test_what_may_be_drawn_is_what_the_plain_chain_keeps(model: Evaluated, sampling: Sampling) -> None:
    """At this temperature all that is kept is about equally likely, so enough draws show all of it."""
    expected = plainly(model.logits(), sampling, model.prompt)
    assert set(model.draws(sampling, 60 * len(expected) + 100, model.prompt)) == set(expected)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=1.5, top_k=8),
        Sampling(temperature=1.0, top_p=0.7, top_k=20),
        Sampling(temperature=2.0, min_p=0.05, repetition_penalty=1.3),
        Sampling(temperature=0.3, min_p=0.15, repetition_penalty=1.05),
    ],
    ids=str,
)
def test_it_is_drawn_as_often_as_the_plain_chain_says(model: Evaluated, sampling: Sampling) -> None:
    expected = plainly(model.logits(), sampling, model.prompt)
    draws = 4000
    drawn = model.draws(sampling, draws, model.prompt)
    assert set(drawn) <= set(expected)
    # Chi-square, with what is too rare for it put together.
    common = {token: p for token, p in expected.items() if p * draws >= 10}
    cells = [(drawn[token], p * draws) for token, p in common.items()]
    if (rare := 1 - sum(common.values())) * draws >= 10:
        cells.append((draws - sum(drawn[token] for token in common), rare * draws))
    square = sum((got - wanted) ** 2 / wanted for got, wanted in cells)
    freedom = len(cells) - 1
    assert square <= freedom + 4 * (2 * freedom) ** 0.5 + 4  # four standard deviations; seeds are fixed


def c_chain(*links: object) -> object:
    chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
    for link in links:
        llama_cpp.llama_sampler_chain_add(chain, link)
    return chain


@pytest.mark.parametrize("penalty", [1.0, 1.05, 1.5, 0.8])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_bias_and_penalty_give_the_tokens_of_llama_cpps_own_links(
    model: Evaluated, penalty: float, temperature: float
) -> None:
    """To the last bit: the same seed draws the same tokens, also when the window has begun to forget."""
    likely = numpy.argsort(-model.logits())[:6].tolist()
    bias = {likely[0]: -1.25, likely[1]: BAN, likely[5]: 2.5}
    sampling = Sampling(temperature=temperature, top_k=40 if temperature else None, repetition_penalty=penalty)
    biases = (llama_cpp.llama_logit_bias * len(bias))(*bias.items())
    chain = c_chain(
        llama_cpp.llama_sampler_init_logit_bias(model.size, len(bias), biases),
        llama_cpp.llama_sampler_init_penalties(model.size, PENALTY_WINDOW, penalty, 0.0, 0.0),
        *(
            [
                llama_cpp.llama_sampler_init_top_k(40),
                llama_cpp.llama_sampler_init_temp(1.0),
                llama_cpp.llama_sampler_init_dist(5),
            ]
            if temperature
            else [llama_cpp.llama_sampler_init_greedy()]
        ),
    )
    own = model.sampler(sampling, 5, bias)
    own.accept(model.prompt)
    for token in model.prompt:
        llama_cpp.llama_sampler_accept(chain, token)
    theirs = [llama_cpp.llama_sampler_sample(chain, model.loaded.context, -1) for _ in range(150)]
    assert [own.sample(model.loaded.context) for _ in range(150)] == theirs
    assert likely[1] not in theirs
    own.close()
    llama_cpp.llama_sampler_free(chain)


def test_the_logits_stay_as_they_are(model: Evaluated) -> None:
    before = model.logits()
    sampler = model.sampler(Sampling(repetition_penalty=2.0), bias={3: 50.0, model.prompt[-1]: BAN})
    sampler.accept(model.prompt)
    sampler.sample(model.loaded.context)
    sampler.close()
    assert (model.logits() == before).all()


def test_only_the_latest_tokens_are_punished(model: Evaluated) -> None:
    best = int(model.logits().argmax())
    other = int(model.logits().argmin())
    strong = Sampling(repetition_penalty=9.0)
    for ago, punished in ((PENALTY_WINDOW, True), (PENALTY_WINDOW + 1, False)):
        sampler = model.sampler(strong)
        sampler.accept([best] + [other] * (ago - 1))
        assert (sampler.sample(model.loaded.context) != best) == punished
        sampler.close()


def test_greedy_stays_greedy(model: Evaluated) -> None:
    logits = model.logits()
    best = int(logits.argmax())
    assert set(model.draws(Sampling(), 40)) == {best}
    assert set(model.draws(Sampling(top_k=5, top_p=0.5, min_p=0.1), 40)) == {best}
    second = int(numpy.argsort(-logits)[1])
    assert set(model.draws(Sampling(), 40, bias={best: BAN})) == {second}
    assert set(model.draws(Sampling(), 40, bias={7: 1000.0})) == {7}


def test_without_a_seed_every_sampler_draws_anew(model: Evaluated) -> None:
    runs = set()
    for _ in range(4):
        sampler = model.sampler(Sampling(temperature=5.0), seed=None)
        runs.add(tuple(sampler.sample(model.loaded.context) for _ in range(8)))
        sampler.close()
    assert len(runs) == 4


@pytest.mark.parametrize("outside", [-1, 10**6])
def test_a_bias_on_a_token_the_model_does_not_have_is_refused(model: Evaluated, outside: int) -> None:
    with pytest.raises(RequestError, match=f"names token {outside}"):
        model.sampler(Sampling(), bias={3: 1.0, outside: 1.0})
