from __future__ import annotations

import types
from typing import Any

import pytest

from edgelfm.chat.options import read_options, token_biases
from edgelfm.errors import RequestError
from edgelfm.models.entry import Sampling

PRESET = Sampling(temperature=0.1, top_k=50, repetition_penalty=1.05, source="model card")


def test_the_preset_stands_where_nothing_is_said() -> None:
    options = read_options(PRESET, {})
    assert options.sampling == PRESET
    assert (options.max_tokens, options.stop, options.seed) == (None, (), None)
    assert (options.logit_bias, options.logprobs) == ({}, None)


def test_what_is_said_goes_over_the_preset() -> None:
    sampling = read_options(PRESET, {"temperature": 0, "min_p": 0.15}).sampling
    assert (sampling.temperature, sampling.top_k, sampling.min_p) == (0, 50, 0.15)
    assert sampling.source == "caller"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"temperature": -1}, "temperature is -1"),
        ({"temperature": "hot"}, "temperature is 'hot'"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"min_p": -0.1}, "min_p is -0.1"),
        ({"top_k": -5}, "top_k is -5"),
        ({"top_k": 2.5}, "top_k is 2.5"),
        ({"repetition_penalty": 0}, "repetition_penalty is 0"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"max_tokens": 1.5}, "max_tokens is 1.5"),
        ({"stop": [1]}, "stop is"),
        ({"seed": "x"}, "seed is 'x'"),
        ({"logprobs": -1}, "logprobs is -1"),
        ({"logprobs": True}, "logprobs is True"),
        ({"logprobs": 1001}, "logprobs is 1001"),
        ({"logit_bias": [5]}, "logit_bias is"),
        ({"logit_bias": {-1: 2.0}}, "logit_bias has -1 for a token"),
        ({"logit_bias": {2.5: 2.0}}, "logit_bias has 2.5 for a token"),
        ({"logit_bias": {"a": "much"}}, "logit_bias gives 'a' 'much'"),
        ({"logit_bias": {7: float("nan")}}, "logit_bias gives 7 nan"),
        ({"logit_bias": {7: float("inf")}}, "logit_bias gives 7 inf"),
        ({"temprature": 1}, "'temprature' is not an option"),
    ],
)
def test_a_senseless_value_is_named_with_what_would_do(given: Any, said: str) -> None:
    with pytest.raises(RequestError, match=said) as caught:
        read_options(PRESET, given)
    assert caught.value.hint


class TestTokenBiases:
    WORDS = types.MappingProxyType({"yes": [1], " maybe": [2], "maybe": [3, 4], "": []})

    def ids(self, text: str) -> list[int]:
        return self.WORDS.get(text, [8, 9, 10])

    def test_texts_become_ids_and_ids_stay(self) -> None:
        assert token_biases({"yes": 1.5, 5: float("-inf")}, self.ids) == {1: 1.5, 5: float("-inf")}

    def test_an_id_and_its_text_add_up(self) -> None:
        assert token_biases({"yes": 1.5, 1: -1.0}, self.ids) == {1: 0.5}

    @pytest.mark.parametrize(
        ("text", "said", "hint"),
        [
            ("maybe", "'maybe' is 2", "' maybe'"),
            ("whatever", "'whatever' is 3", "by id: 8, 9, 10"),
            ("", "'' is 0", "leave it out"),
        ],
    )
    def test_a_text_of_several_tokens_is_refused_with_a_way_out(self, text: str, said: str, hint: str) -> None:
        with pytest.raises(RequestError, match=said) as caught:
            token_biases({text: 1.0}, self.ids)
        assert hint in caught.value.hint
