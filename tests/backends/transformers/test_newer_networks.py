"""LFM3 and the LFM2 mixture from `load()` to a forked conversation, held against transformers' own `generate`.

LFM3 keeps three kinds of state: convolutions over 7 tokens, windows of the last 16, and keys and values of all. Prompts
here are longer than the window.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import edgelfm
from edgelfm import Model
from edgelfm.backends.transformers.session import TransformersSession
from edgelfm.models.entry import Sampling

Open = Callable[..., TransformersSession]
GREEDY = Sampling()
#: Keeps the token that ends a reply from being sampled.
ENDLESS = {7: -100.0}
LONG = "Tell me how far it is to the sea, and which of the roads that lead there is the shortest."


@pytest.fixture(params=["lfm3_folder", "moe_folder"])
def folder(request: pytest.FixtureRequest) -> Path:
    """Both networks."""
    return Path(request.getfixturevalue(request.param))


@pytest.fixture
def opened(folder: Path) -> Iterator[Model]:
    """What people hold."""
    with edgelfm.load(folder, backend="transformers", context=1024) as lfm:
        yield lfm


def ids_of(events: Any) -> list[int]:
    return [token for event in events for token in event.ids]


def told(session: TransformersSession, prompt: list[int], count: int = 6) -> tuple[list[int], int]:
    """The likeliest continuation, and how many tokens of the prompt were in the state already."""
    events = list(session.generate(prompt, GREEDY, max_tokens=count, logit_bias=ENDLESS))
    timings = events[-1].timings
    assert timings is not None
    return ids_of(events), timings.cached_tokens


def words(seed: int, count: int) -> list[int]:
    """Tokens that mean nothing."""
    return random.Random(seed).choices(range(20, 300), k=count)


@pytest.mark.parametrize("micro_batch", [256, 64, 16, 5, 1], ids="in pieces of {}".format)
def test_32_greedy_tokens_are_those_of_generate(micro_batch: int, folder: Path, open_torch: Open) -> None:
    """A piece may be longer than the window, as long, shorter, and a single token."""
    import torch

    session = open_torch(folder, micro_batch=micro_batch)
    prompt = words(1, 150)
    model = session._loaded.model
    with torch.inference_mode():
        whole = model.generate(
            torch.tensor([prompt]), do_sample=False, max_new_tokens=32, suppress_tokens=[7], pad_token_id=0
        )
    assert told(session, prompt, 32)[0] == whole[0, len(prompt) :].tolist()


def test_a_window_is_no_part_that_could_be_cut(lfm3_folder: Path, open_torch: Open) -> None:
    """Between two checkpoints there is no way back, at a checkpoint there is, also far behind the window."""
    session = open_torch(lfm3_folder, micro_batch=1)
    assert not session._state.cuttable
    talk = words(1, 60)
    told(session, talk, 40)
    assert told(session, [*talk[:50], 20, 21])[1] == 0
    session.forget()
    first, _ = told(session, talk, 40)
    assert told(session, [*talk, *first])[1] == len(talk) + 39
    fresh = open_torch(lfm3_folder, micro_batch=1)
    assert told(session, [*talk, 21], 24) == (told(fresh, [*talk, 21], 24)[0], 60)


def test_windows_are_counted_as_keys_and_values(lfm3_folder: Path, open_torch: Open) -> None:
    """A layer of one 32-wide head with room for 256 tokens, one with 15; two convolutions of 64 x 7."""
    session = open_torch(lfm3_folder, micro_batch=16)
    told(session, words(1, 100))
    memory = session.memory()
    tensor = 8  # of one number, by which transformers says how long the window is
    assert memory.kv == (256 + 15) * 2 * 32 * 4 + tensor
    assert memory.conv == 2 * 64 * 7 * 4


def test_a_conversation_goes_back_and_forks(opened: Model) -> None:
    talk = opened.conversation(system="Be brief.")
    first = talk.send(LONG, temperature=0, max_tokens=24)
    second = talk.send("And back?", temperature=0, max_tokens=24)
    assert second.usage.cached_tokens >= first.usage.prompt_tokens
    again = talk.regenerate(temperature=0, max_tokens=24)
    assert again == second
    assert again.usage.cached_tokens == again.usage.prompt_tokens
    other = talk.fork()
    asked = other.send("Is it deep?", temperature=0, max_tokens=24)
    assert asked.usage.cached_tokens >= second.usage.prompt_tokens
    edited = talk.edit(1, "And the mountains?", temperature=0, max_tokens=24)
    assert edited.usage.cached_tokens >= first.usage.prompt_tokens
    opened._session.forget()
    assert talk.regenerate(temperature=0, max_tokens=24) == edited
    assert other.regenerate(temperature=0, max_tokens=24) == asked


def test_a_conversation_is_resumed_with_its_state(opened: Model, tmp_path: Path) -> None:
    talk = opened.conversation()
    talk.send(LONG, temperature=0, max_tokens=24)
    talk.save(tmp_path / "talk.json", state=True)
    goes_on = talk.send("And back?", temperature=0, max_tokens=24)
    opened._session.forget()
    later = opened.resume(tmp_path / "talk.json").send("And back?", temperature=0, max_tokens=24)
    assert later == goes_on
    assert later.usage.cached_tokens == goes_on.usage.cached_tokens
