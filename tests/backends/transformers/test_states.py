"""Going back, changing conversations and breaking off: tokens must be those of a fresh evaluation.

One token a batch where equality is exact: then how a prompt was cut cannot change the rounding.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgelfm.backends.base import State
from edgelfm.backends.cancel import Cancel
from edgelfm.backends.transformers.session import TransformersSession
from edgelfm.errors import StateRefused
from edgelfm.models.entry import Sampling

Open = Callable[..., TransformersSession]
GREEDY = Sampling()


def told(session: TransformersSession, prompt: list[int], count: int = 6) -> tuple[list[int], int]:
    """The greedy continuation, and how many tokens of the prompt were not evaluated for it."""
    events = list(session.generate(prompt, GREEDY, max_tokens=count))
    timings = events[-1].timings
    assert timings is not None
    return [token for event in events for token in event.ids], timings.cached_tokens


def words(seed: int, count: int) -> list[int]:
    """Tokens that mean nothing."""
    return random.Random(seed).choices(range(20, 300), k=count)


@pytest.fixture(params=["tiny_folder", "llama_folder", "sliding_folder", "lfm3_folder"])
def folder(request: pytest.FixtureRequest) -> Path:
    """A hybrid with convolutions, attention alone, attention that forgets, and all three in one network."""
    return Path(request.getfixturevalue(request.param))


def test_regenerating_evaluates_nothing(folder: Path, open_torch: Open) -> None:
    session = open_torch(folder)
    first, _ = told(session, words(1, 100))
    assert told(session, words(1, 100)) == (first, 100)
    told(session, words(2, 100))
    assert told(session, words(1, 100)) == (first, 100)


def test_a_primed_prompt_is_answered_at_once(folder: Path, open_torch: Open) -> None:
    session, fresh = open_torch(folder), open_torch(folder)
    session.prime(words(1, 100))
    assert told(session, words(1, 100)) == (told(fresh, words(1, 100))[0], 100)


def test_attention_alone_is_cut_at_any_length(llama_folder: Path, open_torch: Open) -> None:
    session = open_torch(llama_folder)
    told(session, words(1, 50))
    assert told(session, [*words(1, 50)[:17], 20, 21])[1] == 17


def test_convolutions_go_back_to_the_end_of_a_prompt(tiny_folder: Path, open_torch: Open) -> None:
    session = open_torch(tiny_folder)
    told(session, words(1, 50))
    assert told(session, [*words(1, 50), 20, 21])[1] == 50
    assert told(session, [*words(1, 50)[:17], 20, 21])[1] == 0


def test_alternating_conversations_evaluate_no_prompt_token_twice(folder: Path, open_torch: Open) -> None:
    session, fresh = open_torch(folder, micro_batch=1), open_torch(folder, micro_batch=1)
    talks, evaluated = [words(1, 50), words(2, 40)], [0, 0]
    for number in range(3):
        for which, talk in enumerate(talks):
            talk += words(10 + number, 5)
            answer, cached = told(session, talk)
            fresh.forget()
            assert told(fresh, talk)[0] == answer
            assert cached == evaluated[which]
            talk += answer
            evaluated[which] = len(talk) - (len(answer) == 6)  # the last token of a reply that was cut short was not


def test_a_long_conversation_outgrows_its_cache_several_times(folder: Path, open_torch: Open) -> None:
    session, fresh = open_torch(folder, context=2048), open_torch(folder, context=2048)
    talk = words(3, 250)
    for turn in range(4):
        answer, _ = told(session, talk, 20)
        fresh.forget()
        assert answer == told(fresh, talk, 20)[0]
        talk += answer + words(turn, 300)


def test_a_primed_prefix_outlives_other_conversations(folder: Path, open_torch: Open) -> None:
    session = open_torch(folder, state_bytes=0)
    timings = session.prime(words(1, 200), pin=True)
    assert (timings.prompt_tokens, timings.cached_tokens) == (200, 0)
    for seed in range(2, 5):
        told(session, words(seed, 100), 2)
        assert told(session, [*words(1, 200), *words(seed, 20)], 2)[1] == 200


def test_states_stay_within_their_bytes(folder: Path, open_torch: Open) -> None:
    session = open_torch(folder, state_bytes=200_000)
    for seed in range(8):
        told(session, words(seed, 60), 2)
        assert session.kept().bytes <= 200_000
    assert session.kept().parked


class TestElsewhere:
    def test_a_state_goes_on_in_another_session(self, folder: Path, open_torch: Open) -> None:
        here, there = open_torch(folder, micro_batch=1), open_torch(folder, micro_batch=1)
        talk = words(1, 150)
        answer, _ = told(here, talk)
        state = here.export_state(talk)
        assert state is not None
        there.import_state(state)
        assert told(there, talk) == (answer, 150)
        longer = [*talk, *answer, 25, 26]
        assert told(there, longer)[0] == told(here, longer)[0]

    def test_bf16_survives_the_way(self, tiny_folder: Path, open_torch: Open) -> None:
        here, there = (open_torch(tiny_folder, micro_batch=1, dtype="bf16") for _ in range(2))
        talk = words(1, 50)
        answer, _ = told(here, talk)
        state = here.export_state(talk)
        assert state is not None
        there.import_state(state)
        assert told(there, talk) == (answer, 50)

    def test_nothing_known_is_nothing_exported(self, folder: Path, open_torch: Open) -> None:
        session = open_torch(folder)
        told(session, words(1, 80))
        assert session.export_state([305, 306]) is None

    @pytest.mark.parametrize("name", ["model", "build", "runtime", "dtype", "device"])
    def test_a_foreign_state_is_refused(self, name: str, tiny_folder: Path, open_torch: Open) -> None:
        session = open_torch(tiny_folder)
        told(session, words(1, 80))
        state = session.export_state(words(1, 80))
        assert state is not None
        with pytest.raises(StateRefused, match=f"another {name}: other"):
            session.import_state(replace(state, identity={**state.identity, name: "other"}))

    @pytest.mark.parametrize("damage", [lambda data: data[:1000], lambda data: b"", lambda data: b"\xff" * len(data)])
    def test_damaged_data_is_refused_and_nothing_else_changes(
        self, damage: Callable[[bytes], bytes], tiny_folder: Path, open_torch: Open
    ) -> None:
        session = open_torch(tiny_folder)
        answer, _ = told(session, words(1, 80))
        state = session.export_state(words(1, 80))
        assert state is not None
        broken = State(state.identity, state.tokens, damage(bytes(state.data)), state.checkpoints)
        with pytest.raises(StateRefused, match="cannot be read"):
            session.import_state(broken)
        assert told(session, words(1, 80)) == (answer, 80)


@pytest.mark.parametrize("seed", range(2))
def test_a_random_walk_diverges_nowhere(seed: int, folder: Path, open_torch: Open) -> None:
    """Four conversations: continued, cut, forked, cancelled and exported at random, with little memory to keep them."""
    session, fresh = open_torch(folder, micro_batch=1, state_bytes=300_000), open_torch(folder, micro_batch=1)
    chance = random.Random(seed)
    talks = [words(number, 20) for number in range(4)]
    for step in range(25):
        which = chance.randrange(4)
        act = chance.choice(["continue", "continue", "cut", "fork", "cancel", "export"])
        if act == "cut":
            talks[which] = talks[which][: chance.randrange(1, len(talks[which]))]
        elif act == "fork":
            talks[which] = list(talks[chance.randrange(4)])
        elif act == "export" and (state := session.export_state(talks[which])) is not None:
            session.forget()
            session.import_state(state)
        talks[which] += words(1000 + step, chance.randrange(1, 12))
        if act == "cancel":
            cancel = Cancel()
            cancel.set()
            list(session.generate(talks[which], GREEDY, max_tokens=2, cancel=cancel))
        answer, _ = told(session, talks[which], 4)
        fresh.forget()
        assert answer == told(fresh, talks[which], 4)[0], (step, act)
        talks[which] += answer
