"""Going back, changing conversations and breaking off, on real models: tokens must be those of a fresh evaluation.

One token a batch throughout: then how a prompt was cut cannot change the rounding, and equality is exact.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelfm.backends.base import State, Token
from edgelfm.backends.cancel import Cancel
from edgelfm.backends.llama_cpp.session import LlamaSession
from edgelfm.errors import ContextExceeded, StateRefused
from edgelfm.models.entry import Sampling
from tests.backends.conftest import settings

Open = Callable[..., LlamaSession]
GREEDY = Sampling()


def told(session: LlamaSession, prompt: list[int], count: int = 6) -> tuple[list[int], int]:
    """The greedy continuation, and how many tokens of the prompt were not evaluated for it."""
    events = list(session.generate(prompt, GREEDY, max_tokens=count))
    timings = events[-1].timings
    assert timings is not None
    return [token for event in events for token in event.ids], timings.cached_tokens


def words(seed: int, count: int) -> list[int]:
    """Tokens that mean nothing, of those every vocabulary here has."""
    return random.Random(seed).choices(range(10, 300), k=count)


@pytest.fixture(params=["tiny_path", "starter_path"])
def path(request: pytest.FixtureRequest) -> Path:
    """A hybrid with convolutions, and a network of attention alone."""
    return Path(request.getfixturevalue(request.param))


def test_regenerating_evaluates_nothing(path: Path, open_session: Open) -> None:
    session = open_session(path)
    first, _ = told(session, words(1, 100))
    assert told(session, words(1, 100)) == (first, 100)
    told(session, words(2, 100))
    assert told(session, words(1, 100)) == (first, 100)


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_what_is_sampled_from_kept_logits_is_what_llama_cpp_samples(
    penalty: float, path: Path, open_session: Open
) -> None:
    session, prompt = open_session(path), words(1, 100)
    hot = Sampling(temperature=1.5, top_k=200, top_p=0.95, min_p=0.01, repetition_penalty=penalty)

    def drawn(seed: int, bias: dict[int, float]) -> list[tuple[object, ...]]:
        events = session.generate(prompt, hot, max_tokens=4, seed=seed, logprobs=3, logit_bias=bias)
        return [(event.ids, event.logprobs) for event in events]

    for seed in range(5):
        for bias in ({}, {prompt[-1]: 5.0, 20: -3.0}):
            session.forget()
            assert drawn(seed, bias) == drawn(seed, bias)


def test_a_primed_prompt_is_answered_at_once(path: Path, open_session: Open) -> None:
    session, fresh = open_session(path), open_session(path)
    session.prime(words(1, 100))
    assert told(session, words(1, 100)) == (told(fresh, words(1, 100))[0], 100)


def test_alternating_conversations_evaluate_no_prompt_token_twice(path: Path, open_session: Open) -> None:
    session, fresh = open_session(path, micro_batch=1), open_session(path, micro_batch=1)
    talks = [words(1, 50), words(2, 40)]
    for number in range(3):
        for talk in talks:
            talk += words(10 + number, 5)
            answer, cached = told(session, talk)
            seen = 0 if number == 0 else len(talk) - 5 - 1  # the last token of a reply was never evaluated
            assert cached == seen
            fresh.forget()
            assert told(fresh, talk)[0] == answer
            talk += answer


def test_a_cancelled_prefill_keeps_what_it_has_done(tiny_path: Path, open_session: Open) -> None:
    session, fresh = open_session(tiny_path, micro_batch=1), open_session(tiny_path, micro_batch=1)
    prompt = words(3, 900)
    cancel = Cancel()
    stream = session.generate(prompt, GREEDY, max_tokens=4, cancel=cancel)
    ended: list[Token] = []
    reader = threading.Thread(target=lambda: ended.extend(stream))
    reader.start()
    while len(session.kept().checkpoints) < 2:
        assert reader.is_alive()
    cancel.set()
    reader.join()
    assert ended[-1].finish_reason == "cancelled"
    assert session.kept().tokens < len(prompt)
    answer, cached = told(session, prompt)
    assert cached >= 256
    assert answer == told(fresh, prompt)[0]


def test_cancelling_between_words_costs_nothing(path: Path, open_session: Open) -> None:
    """The next turn goes on from all that was written."""
    session = open_session(path)
    cancel = Cancel()
    written: list[int] = []
    for event in session.generate(words(4, 50), GREEDY, max_tokens=50, cancel=cancel):
        written += event.ids
        if len(written) == 20:
            cancel.set()
    assert told(session, [*words(4, 50), *written, 17])[1] >= 50 + 20 - 1


def test_states_stay_within_their_bytes(path: Path, open_session: Open) -> None:
    session = open_session(path)
    told(session, words(0, 60), 2)
    limit = 3 * len(session.export_state(words(0, 60)).data)  # type: ignore[union-attr]
    session.reconfigure(settings(state_bytes=limit))
    for seed in range(8):
        told(session, words(seed, 60), 2)
        assert session.kept().bytes <= limit
    assert session.kept().parked


def test_a_primed_prefix_outlives_other_conversations(path: Path, open_session: Open) -> None:
    session = open_session(path, state_bytes=0)
    timings = session.prime(words(1, 200), pin=True)
    assert (timings.prompt_tokens, timings.cached_tokens) == (200, 0)
    for seed in range(2, 5):
        told(session, words(seed, 100), 2)
        _, cached = told(session, [*words(1, 200), *words(seed, 20)], 2)
        assert cached == 200


def test_a_prefix_longer_than_the_context_is_refused(tiny_path: Path, open_session: Open) -> None:
    with pytest.raises(ContextExceeded, match="the prompt has 300 tokens and the context holds 256"):
        open_session(tiny_path, context=256).prime(words(1, 300))


class TestElsewhere:
    def test_a_state_goes_on_in_another_session(self, path: Path, open_session: Open) -> None:
        here, there = open_session(path, micro_batch=1), open_session(path, micro_batch=1)
        talk = words(1, 150)
        answer, _ = told(here, talk)
        state = here.export_state(talk)
        assert state is not None
        there.import_state(state)
        assert told(there, talk) == (answer, 150)
        longer = [*talk, *answer, 5, 6]
        assert told(there, longer)[0] == told(here, longer)[0]

    def test_a_parked_conversation_can_be_exported(self, path: Path, open_session: Open) -> None:
        session = open_session(path)
        told(session, words(1, 80))
        told(session, words(2, 80))
        state = session.export_state(words(1, 80))
        assert state is not None
        assert list(state.tokens[:80]) == words(1, 80)

    def test_nothing_known_is_nothing_exported(self, path: Path, open_session: Open) -> None:
        session = open_session(path)
        told(session, words(1, 80))
        assert session.export_state([305, 306]) is None

    @pytest.mark.parametrize(
        ("name", "reason"),
        [("model", "another model: other"), ("build", "another build: other"), ("runtime", "another runtime: other")],
    )
    def test_a_foreign_state_is_refused(self, name: str, reason: str, tiny_path: Path, open_session: Open) -> None:
        session = open_session(tiny_path)
        told(session, words(1, 80))
        state = session.export_state(words(1, 80))
        assert state is not None
        foreign = State({**state.identity, name: "other"}, state.tokens, state.data, state.checkpoints)
        with pytest.raises(StateRefused, match=reason):
            session.import_state(foreign)

    def test_two_models_of_one_size_are_told_apart(self, tiny_path: Path, tmp_path: Path, open_session: Open) -> None:
        other = tmp_path / "other.gguf"
        data = bytearray(tiny_path.read_bytes())
        data[-100_000:] = bytes(100_000)
        other.write_bytes(data)
        assert open_session(tiny_path).state_identity() != open_session(other).state_identity()

    def test_data_that_llama_cpp_will_not_take_costs_an_evaluation(self, tiny_path: Path, open_session: Open) -> None:
        session, fresh = open_session(tiny_path, micro_batch=1), open_session(tiny_path, micro_batch=1)
        talk = words(1, 80)
        told(session, talk)
        state = session.export_state(talk)
        assert state is not None
        fresh.import_state(State(state.identity, state.tokens, bytes(state.data)[:1000], state.checkpoints))
        answer, cached = told(fresh, talk)
        assert (answer, cached) == (told(session, talk)[0], 0)


def test_settings_can_change_while_the_weights_stay(path: Path, open_session: Open) -> None:
    session = open_session(path, context=512)
    answer, _ = told(session, words(1, 60))
    before = session.memory()
    session.reconfigure(settings(context=256, micro_batch=32, threads=2))
    assert session.context == 256
    assert session.memory().weights == before.weights
    assert session.memory().kv < before.kv
    assert told(session, words(1, 60)) == (answer, 0)


@pytest.mark.parametrize(
    ("model", "seed", "steps"),
    [("tiny_path", 0, 40), ("tiny_path", 1, 40), ("tiny_path", 2, 40), ("starter_path", 3, 10)],
)
def test_a_random_walk_diverges_nowhere(
    model: str, seed: int, steps: int, request: pytest.FixtureRequest, open_session: Open
) -> None:
    """Four conversations: continued, cut, forked, cancelled and exported at random, with little memory to keep them."""
    path = request.getfixturevalue(model)
    session, fresh = open_session(path, micro_batch=1, state_bytes=3_000_000), open_session(path, micro_batch=1)
    chance = random.Random(seed)
    talks = [words(number, 20) for number in range(4)]
    for step in range(steps):
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
        assert len(talks[which]) < 1000
