"""Log-probabilities against a plain softmax over llama.cpp's logits, in Python's own double precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelfm.backends.base import Token, TokenLogprob
from edgelfm.backends.llama_cpp import logprobs
from edgelfm.backends.llama_cpp.session import LlamaSession
from edgelfm.models.entry import Sampling

Open = Callable[..., LlamaSession]
QUESTION = "<|im_start|>user\nWhy is the sky blue?<|im_end|>\n<|im_start|>assistant\n"


def log_softmax(row: list[float]) -> list[float]:
    highest = max(row)
    total = highest + math.log(math.fsum(math.exp(value - highest) for value in row))
    return [value - total for value in row]


@pytest.mark.parametrize("model", ["tiny_path", "starter_path"])
def test_each_token_has_what_the_plain_softmax_says(
    model: str, request: pytest.FixtureRequest, open_session: Open
) -> None:
    session = open_session(request.getfixturevalue(model), micro_batch=1)
    prompt = session.tokenize(QUESTION)
    hot = Sampling(temperature=1.5, top_k=30, repetition_penalty=1.3)
    events = list(session.generate(prompt, hot, max_tokens=6, seed=4, logprobs=4))
    found = [one for event in events for one in event.logprobs]
    assert [one.id for one in found] == [token for event in events for token in event.ids]
    for index, one in enumerate(found):
        # The state after the same tokens, and its logits as llama.cpp gives them.
        session.forget()
        list(session.generate(prompt + [earlier.id for earlier in found[:index]], Sampling(), max_tokens=1))
        size = session.vocabulary.size
        row = session._llama.llama_get_logits_ith(session._ctx, -1)[:size]
        expected = log_softmax(row)
        assert one.logprob == pytest.approx(expected[one.id], abs=1e-5)
        best = sorted(range(size), key=lambda token: (-row[token], token))[:4]
        assert [token for token, _, _ in one.top] == best
        assert [value for _, _, value in one.top] == pytest.approx([expected[token] for token in best], abs=1e-5)
        assert [piece for _, piece, _ in one.top] == [session.vocabulary.piece(token) for token in best]


def test_what_is_drawn_does_not_depend_on_whether_somebody_looks(tiny_path: Path, open_session: Open) -> None:
    session = open_session(tiny_path)
    prompt, hot = session.tokenize(QUESTION), Sampling(temperature=1.0, repetition_penalty=1.2)

    def ids(logprobs: int | None) -> list[int]:
        events: list[Token] = list(session.generate(prompt, hot, max_tokens=40, seed=3, logprobs=logprobs))
        assert sum(len(event.logprobs) for event in events) == (0 if logprobs is None else 40)
        return [token for event in events for token in event.ids]

    assert ids(None) == ids(0) == ids(5)


class Numbers:
    """A vocabulary of numbered words."""

    def piece(self, token: int) -> bytes:
        return b"%d" % token


def read(values: list[float], token: int, top: int) -> TokenLogprob:
    return logprobs.read(numpy.array(values, numpy.float32), Numbers(), token, top)


@given(st.lists(st.integers(-300, 300), min_size=1, max_size=1200), st.integers(0, 12))
def test_the_likeliest_come_in_order_and_equals_by_id(values: list[int], top: int) -> None:
    one = read([value / 10 for value in values], 0, top)
    expected = sorted(range(len(values)), key=lambda token: (-values[token], token))[:top]
    assert [token for token, _, _ in one.top] == expected


def test_huge_logits_neither_overflow_nor_vanish() -> None:
    one = read([3e4, 3e4, -3e4], 0, 3)
    assert one.logprob == pytest.approx(-math.log(2))
    assert [value for _, _, value in one.top] == pytest.approx([-math.log(2), -math.log(2), -6e4 - math.log(2)])


def test_many_improbable_words_count() -> None:
    """Added up in single precision, a hundred thousand of them would stop to change the sum."""
    count = 2_000_000
    one = read([0.0] + [-15.0] * count, 0, 1)
    assert one.logprob == pytest.approx(-math.log(1 + count * math.exp(-15.0)), rel=1e-6)
