"""What a session tells those who listen, on a real model: prefill, tokens, checkpoints, the end."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelfm.backends.cancel import Cancel
from edgelfm.backends.llama_cpp.session import LlamaSession
from edgelfm.models.entry import Sampling
from edgelfm.monitor.events import Event, Inbox

GREEDY = Sampling(temperature=0.0)
Open = Callable[..., LlamaSession]


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events]


@pytest.fixture
def session(open_session: Open, tiny_path: Path) -> LlamaSession:
    return open_session(tiny_path)


@pytest.fixture
def inbox(session: LlamaSession) -> Inbox:
    return session.events.listen()


def test_a_reply_from_prefill_to_its_end_is_as_its_timings_say(session: LlamaSession, inbox: Inbox) -> None:
    prompt = list(range(5, 45))
    *_, last = session.generate(prompt, GREEDY, max_tokens=12)
    events, tokens = inbox.take()
    timings = last.timings
    assert timings is not None
    told = {event.kind: event for event in events}
    assert kinds(events)[0] == "prefill"
    assert told["prefill"].tokens == told["prefilled"].tokens == 40
    assert told["prefilled"].seconds == timings.prefill_seconds
    assert told["first_token"].seconds == timings.first_token_seconds
    assert (told["reply"].tokens, told["reply"].seconds) == (12, timings.decode_seconds)
    assert told["reply"].note == last.finish_reason == "length"
    assert len(tokens) == timings.completion_tokens
    assert tokens[-1] - tokens[0] == timings.decode_seconds
    assert told["first_token"].at == tokens[0]


def test_checkpoints_and_going_back_to_them(session: LlamaSession, inbox: Inbox) -> None:
    prompt = list(range(5, 105))
    list(session.generate(prompt, GREEDY, max_tokens=3))
    first, _ = inbox.take()
    assert "restore" not in kinds(first)
    places = [event.tokens for event in first if event.kind == "checkpoint"]
    assert places
    list(session.generate(prompt, GREEDY, max_tokens=3))
    second, _ = inbox.take()
    (restored,) = [event.tokens for event in second if event.kind == "restore"]
    assert restored == places[-1] == 100
    assert [event.tokens for event in second if event.kind == "prefill"] == [0]


def test_a_stream_that_nobody_reads_to_its_end_has_ended(session: LlamaSession, inbox: Inbox) -> None:
    stream = session.generate([5, 6, 7], GREEDY, max_tokens=50)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    events, tokens = inbox.take()
    assert (events[-1].kind, events[-1].note) == ("reply", "cancelled")
    assert events[-1].tokens == len(tokens) < 50


def test_a_prefill_that_was_stopped_has_ended_too(session: LlamaSession, inbox: Inbox) -> None:
    cancel = Cancel()
    cancel.set()
    list(session.generate([5, 6, 7], GREEDY, cancel=cancel))
    events, tokens = inbox.take()
    assert (events[-1].kind, events[-1].note, tokens) == ("reply", "cancelled", [])


def test_priming_and_closing(session: LlamaSession, inbox: Inbox) -> None:
    session.prime([5, 6, 7, 8])
    session.close()
    session.close()
    events, _ = inbox.take()
    assert [kind for kind in kinds(events) if kind != "checkpoint"] == ["prefill", "prefilled", "close"]


def test_a_session_that_is_listened_to_goes_at_once_when_nobody_holds_it(open_session: Open, tiny_path: Path) -> None:
    from edgelfm.backends.llama_cpp.loading import load
    from tests.backends.conftest import settings

    session = LlamaSession(load(tiny_path, settings()))
    inbox = session.events.listen()
    list(session.generate([5, 6, 7], GREEDY, max_tokens=3))
    gone = weakref.ref(session)
    gc.disable()
    try:
        del session
        assert gone() is None
    finally:
        gc.enable()
    assert inbox.take()[1]
