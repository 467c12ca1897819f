"""The hub of what a model does: cheap when nobody listens, complete for everybody who does."""

from __future__ import annotations

import gc
import weakref

from edgelfm.monitor.events import Event, Events


def test_nothing_is_kept_when_nobody_listens() -> None:
    events = Events()
    events.emit("prefill", tokens=3)
    assert events.token is None
    assert not events
    assert events.listen().take() == ([], [])


def test_an_inbox_holds_what_happened_since_it_was_emptied() -> None:
    events = Events()
    inbox = events.listen()
    events.emit("prefill", tokens=3, at=1.0)
    assert events.token is not None
    events.token(1.5)
    assert inbox.take() == ([Event(1.0, "prefill", tokens=3)], [1.5])
    events.token(2.0)
    assert inbox.take() == ([], [2.0])


def test_every_listener_hears_everything_from_when_it_came() -> None:
    events = Events()
    first = events.listen()
    assert events.token is not None
    events.token(1.0)
    second = events.listen()
    events.token(2.0)
    events.emit("mark", note="here", at=2.5)
    assert first.take()[1] == [1.0, 2.0]
    assert second.take() == ([Event(2.5, "mark", note="here")], [2.0])


def test_a_closed_inbox_keeps_what_it_has_and_costs_nothing_more() -> None:
    events = Events()
    one, other = events.listen(), events.listen()
    events.emit("mark")
    one.close()
    events.emit("mark")
    assert (len(one.take()[0]), len(other.take()[0])) == (1, 2)
    other.close()
    other.close()
    assert events.token is None


def test_events_are_on_the_clock_of_tokens() -> None:
    import time

    events = Events()
    inbox = events.listen()
    before = time.perf_counter()
    events.emit("mark")
    assert before <= inbox.take()[0][0].at <= time.perf_counter()


def test_an_inbox_that_nobody_empties_is_bounded() -> None:
    events = Events()
    inbox = events.listen()
    assert events.token is not None
    for at in range(300_000):
        events.token(float(at))
    tokens = inbox.take()[1]
    assert len(tokens) < 300_000
    assert tokens[-1] == 299_999.0


def test_a_hub_goes_at_once_though_somebody_listens() -> None:
    """A session holds its hub, so nothing of a circle may hold the session."""
    events = Events()
    inbox = events.listen()
    gone = weakref.ref(events)
    gc.disable()
    try:
        del events
        assert gone() is None
        inbox.close()
    finally:
        gc.enable()
