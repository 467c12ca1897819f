"""Measuring on loaded weights: every measurement starts from the same state, and the session's own is untouched."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import edgelfm
from edgelfm.backends.llama_cpp.loading import Loaded, load
from edgelfm.backends.llama_cpp.rig import Layout, Rig, rig
from edgelfm.backends.llama_cpp.session import LlamaSession
from edgelfm.errors import SessionClosed
from edgelfm.models.entry import Sampling

GREEDY = Sampling(temperature=0)
ON, OFF = Layout(True, 64), Layout(False, 64)


@pytest.fixture
def opened(tiny_path: Path) -> Iterator[Callable[[], Loaded]]:
    made: list[Loaded] = []

    def make() -> Loaded:
        chosen = edgelfm.plan(tiny_path, context=512).chosen
        assert chosen is not None
        made.append(load(tiny_path, chosen.settings))
        return made[-1]

    yield make
    for loaded in made:
        loaded.free()


@pytest.fixture
def session(tiny_path: Path) -> Iterator[LlamaSession]:
    chosen = edgelfm.plan(tiny_path, context=512).chosen
    assert chosen is not None
    made = LlamaSession(load(tiny_path, chosen.settings))
    yield made
    made.close()


@pytest.mark.parametrize("layout", [ON, OFF, Layout(True, 256), Layout(True, 64, "q8_0")])
@pytest.mark.parametrize("threads", [1, 2])
def test_both_phases_are_timed_with_any_layout(opened: Callable[[], Loaded], layout: Layout, threads: int) -> None:
    with Rig(opened(), room=128, longest=16) as one:
        assert 0 < one.prefill(64, layout, threads=threads, depth=32) < 10
        assert 0 < one.decode(8, layout, threads=threads, depth=100) < 10


def test_the_whole_room_can_be_used_again_and_again(opened: Callable[[], Loaded]) -> None:
    with Rig(opened(), room=128, longest=16) as one:
        for _ in range(5):  # were a state left over, the small context would overflow
            one.prefill(128, ON, threads=1)
            one.decode(16, ON, threads=1, depth=128)


def test_a_longer_prompt_takes_longer(opened: Callable[[], Loaded]) -> None:
    with Rig(opened(), room=512, longest=16) as one:
        one.prefill(512, ON, threads=1)
        short = min(one.prefill(8, ON, threads=1) for _ in range(5))
        assert short < min(one.prefill(512, ON, threads=1) for _ in range(5))


def test_the_threads_are_those_of_the_context(opened: Callable[[], Loaded]) -> None:
    loaded = opened()
    with Rig(loaded, room=64, longest=8) as one:
        for threads in (1, 2):
            one.decode(1, ON, threads=threads)
            assert one._open is not None
            assert loaded.llama.llama_n_threads(one._open.pointer) == threads
            assert loaded.llama.llama_n_threads_batch(one._open.pointer) == threads


def test_states_to_start_from_are_computed_along_one_prompt(opened: Callable[[], Loaded]) -> None:
    with Rig(opened(), room=128, longest=8) as one:
        assert one.reach((32, 96, 128), ON, threads=1) > 0
        assert one.reach((32, 96, 128), ON, threads=1) == 0.0  # they are there
        assert one.reach((32,), OFF, threads=1) > 0  # flash attention stores values in another order


def test_a_state_at_a_depth_is_the_one_a_prompt_of_that_length_has(opened: Callable[[], Loaded]) -> None:
    loaded = opened()
    with Rig(loaded, room=96, longest=8) as stepwise, Rig(loaded, room=96, longest=8) as whole:
        stepwise.reach((32, 64), ON, threads=1)
        whole.reach((64,), ON, threads=1)
        (key,) = whole._depths
        assert stepwise._depths[key].bytes == whole._depths[key].bytes


def test_what_the_rig_holds_is_told(opened: Callable[[], Loaded]) -> None:
    with Rig(opened(), room=64, longest=8) as one:
        assert one.bytes == 0
        one.prefill(64, ON, threads=1)
        assert 0 < one.bytes < 50 * 1024**2


def test_closing_twice_is_fine(opened: Callable[[], Loaded]) -> None:
    one = Rig(opened(), room=64, longest=8)
    one.prefill(8, ON, threads=1)
    one.close()
    one.close()


def test_the_session_goes_on_as_it_was(session: LlamaSession) -> None:
    prompt = session.tokenize("the quick brown fox", special=False) or [1, 2, 3]
    before = [token.ids for token in session.generate(prompt, GREEDY, max_tokens=8)]
    with rig(session, room=64, longest=8) as one:
        one.decode(4, ON, threads=1, depth=16)
    last = list(session.generate(prompt, GREEDY, max_tokens=8))
    assert [token.ids for token in last] == before
    assert last[-1].timings is not None
    assert last[-1].timings.cached_tokens > 0  # its state was not given up


def test_nobody_is_answered_while_something_is_measured(session: LlamaSession) -> None:
    order: list[str] = []

    def ask() -> None:
        list(session.generate([1, 2, 3], GREEDY, max_tokens=1))
        order.append("answered")

    with rig(session, room=64, longest=8) as one:
        other = threading.Thread(target=ask)
        other.start()
        one.decode(4, ON, threads=1, depth=16)
        order.append("measured")
    other.join()
    assert order == ["measured", "answered"]


def test_a_closed_session_cannot_be_measured(session: LlamaSession) -> None:
    session.close()
    with pytest.raises(SessionClosed), rig(session):
        pass
