"""Native work under a rain of interrupts: it is asked to stop, and it never goes on behind the caller's back."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from edgelfm.backends.llama_cpp import interruptible


class Interrupted(BaseException):
    """What the signal raises here, so that a stray one cannot be taken for the user's own."""


@pytest.fixture
def rain() -> Iterator[threading.Event]:
    """SIGINT raises `Interrupted`, but only inside of `run`, so that a late drop hits nothing else. Set when inside."""
    inside = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        while frame is not None:
            if frame.f_code is interruptible.run.__code__:
                raise Interrupted
            frame = frame.f_back

    before = signal.signal(signal.SIGINT, handle)
    yield inside
    signal.signal(signal.SIGINT, before)


def test_it_returns_what_the_work_returns() -> None:
    assert interruptible.run(lambda: 42, lambda: None) == 42


def test_an_error_of_the_work_comes_out() -> None:
    with pytest.raises(ZeroDivisionError):
        interruptible.run(lambda: 1 // 0, lambda: None)


def test_other_threads_do_their_own_work() -> None:
    threads = []
    worker = threading.Thread(target=lambda: threads.append(interruptible.run(threading.current_thread, lambda: None)))
    worker.start()
    worker.join(10)
    assert threads == [worker]


@pytest.mark.parametrize("drops", range(1, 30))
def test_nothing_runs_on_after_an_interrupt(rain: threading.Event, drops: int) -> None:
    running, stop, over = [], threading.Event(), threading.Event()
    main = threading.get_ident()

    def work() -> None:
        running.append(1)
        stop.wait(10)
        running.pop()

    def fall() -> None:
        rain.wait(10)
        for _ in range(drops):
            signal.pthread_kill(main, signal.SIGINT)
        while not over.is_set():  # the first may have fallen before the work was reached
            signal.pthread_kill(main, signal.SIGINT)
            over.wait(0.001)

    cloud = threading.Thread(target=fall)
    cloud.start()
    rain.set()
    with pytest.raises(Interrupted):
        interruptible.run(work, stop.set)
    still = list(running)
    over.set()
    cloud.join(10)
    assert not still
