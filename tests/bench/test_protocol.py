"""What is asked of every runtime: the settings, the steps, and a prompt of an exact length."""

from __future__ import annotations

import pytest

from edgelfm.bench.protocol import QUESTION, QUICK, Settings, passage, prompt_ids, read_settings
from edgelfm.errors import RequestError


def test_the_cold_first_token_is_the_first_thing_a_process_does() -> None:
    steps = list(Settings(depths=(512, 2048)).steps())
    assert steps[0].kind == "first_token_cold"
    assert [step.depth for step in steps if step.kind == "decode"] == [512, 2048]
    assert all(step.tokens + step.depth == 512 for step in steps if step.kind.startswith("first_token"))
    assert steps[-1].tokens == QUESTION


@pytest.mark.parametrize("settings", [Settings(), QUICK, Settings(prompt=64, tokens=4000, depths=(8, 100))])
def test_the_context_holds_every_step(settings: Settings) -> None:
    assert all(step.tokens + step.depth < settings.context for step in settings.steps())


def test_what_is_asked_for_comes_before_the_defaults() -> None:
    assert read_settings() == Settings()
    assert read_settings(quick=True) == QUICK
    asked = read_settings(quick=True, prompt=100, depths=[900, 30, 900])
    assert (asked.prompt, asked.depths, asked.tokens) == (100, (30, 900), QUICK.tokens)


@pytest.mark.parametrize(
    "wish", [{"prompt": 10}, {"tokens": 1}, {"repetitions": 0}, {"depths": [0]}, {"sustained": -1.0}, {"patience": 1e9}]
)
def test_what_makes_no_sense_is_refused(wish: dict[str, float]) -> None:
    with pytest.raises(RequestError) as caught:
        read_settings(**wish)  # type: ignore[arg-type]
    assert caught.value.hint


@pytest.mark.parametrize("tokens", [1, 7, 512, 3000])
def test_a_prompt_has_exactly_the_tokens_asked_for(tokens: int) -> None:
    ids = prompt_ids(lambda text: [ord(letter) for letter in text], 3, tokens, bos=[1])
    assert len(ids) == tokens
    assert ids[0] == 1


def test_the_same_seed_is_the_same_text_and_another_differs_soon() -> None:
    assert passage(1, 50) == passage(1, 50)
    texts = {passage(seed, 50)[:24] for seed in range(200)}
    assert len(texts) > 195
