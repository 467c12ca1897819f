from __future__ import annotations

import threading

import pytest

from edgelfm.backends.line import Line


def nobody() -> None:
    """Evicts nobody."""


def test_turns_come_in_the_order_they_were_asked_for() -> None:
    line, order = Line(), []
    first = line.take(nobody)
    threads = []
    for number in range(8):

        def work(number: int = number) -> None:
            turn = line.take(nobody)
            order.append(number)
            turn.release()

        thread = threading.Thread(target=work)
        thread.start()
        while len(line._waiting) <= number:  # until it stands in line
            thread.join(0.001)
        threads.append(thread)
    first.release()
    for thread in threads:
        thread.join(10)
    assert order == list(range(8))


def test_the_main_thread_does_not_wait_for_itself() -> None:
    line, ended = Line(), []
    turn = line.take(lambda: (ended.append("first"), turn.release()))
    line.take(nobody).release()
    assert ended == ["first"]


def test_a_pool_thread_waits_for_the_stream_it_started_before() -> None:
    """A thread pool serves one stream after another with the same thread; none may end another."""
    line, evicted = Line(), []
    held, order = threading.Event(), []

    def work() -> None:
        turn = line.take(lambda: evicted.append("first"))
        order.append("first")
        threading.Timer(0, lambda: (held.wait(10), turn.release())).start()
        second = line.take(nobody)
        order.append("second")
        second.release()

    thread = threading.Thread(target=work)
    thread.start()
    while not line._waiting:
        thread.join(0.001)
    held.set()
    thread.join(10)
    assert order == ["first", "second"]
    assert not evicted


def test_taking_over_ends_the_holder_even_if_it_was_busy_when_asked() -> None:
    line, attempts = Line(), []

    def evict() -> None:
        attempts.append(1)
        if len(attempts) < 3:
            raise ValueError("generator already executing")
        turn.release()

    turn = line.take(evict)
    line.take_over().release()
    assert len(attempts) == 3


def test_an_interrupted_wait_leaves_no_number_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line()
    first = line.take(nobody)

    def interrupted(self: threading.Event, timeout: float | None = None) -> bool:
        raise KeyboardInterrupt

    first.thread = threading.Thread()  # as if another thread held it
    with monkeypatch.context() as patch:
        patch.setattr(threading.Event, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            line.take(nobody)
    first.release()
    line.take(nobody).release()  # would wait for ever behind a number that nobody uses


def test_releasing_twice_takes_nobody_elses_turn() -> None:
    line = Line()
    first = line.take(nobody)
    first.release()
    second = line.take(nobody)
    first.release()
    assert line._current is second
