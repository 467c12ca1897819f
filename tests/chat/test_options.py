from __future__ import annotations

from typing import Any

import pytest

from edgelfm.chat.options import read_options
from edgelfm.errors import RequestError
from edgelfm.models.entry import Sampling

PRESET = Sampling(temperature=0.1, top_k=50, repetition_penalty=1.05, source="model card")


def test_the_preset_stands_where_nothing_is_said() -> None:
    options = read_options(PRESET, {})
    assert options.sampling == PRESET
    assert (options.max_tokens, options.stop, options.seed) == (None, (), None)


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
        ({"temprature": 1}, "'temprature' is not an option"),
    ],
)
def test_a_senseless_value_is_named_with_what_would_do(given: Any, said: str) -> None:
    with pytest.raises(RequestError, match=said) as caught:
        read_options(PRESET, given)
    assert caught.value.hint
