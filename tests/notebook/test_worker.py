"""One thread for everything slow: in order, through errors, and gone when nobody needs it."""

from __future__ import annotations

import gc
import threading

import pytest

from edgelfm.notebook.worker import Worker

_others: set[threading.Thread] = set()  # of widgets that nobody has collected yet


@pytest.fixture(autouse=True)
def only_ours() -> None:
    _others.clear()
    _others.update(threading.enumerate())


def workers() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "edgelfm-worker" and one not in _others]


def test_jobs_are_done_in_order_in_one_thread_that_is_not_ours() -> None:
    worker, done = Worker(), []
    for number in range(20):
        worker.submit(lambda number=number: done.append((number, threading.current_thread())))  # type: ignore[misc]
    assert worker.wait(10)
    assert [number for number, _ in done] == list(range(20))
    assert {thread for _, thread in done} == set(workers())
    assert threading.current_thread() not in {thread for _, thread in done}
    worker.close()
    worker.join(10)


def test_a_job_that_fails_is_told_and_the_next_is_done() -> None:
    told: list[Exception] = []
    worker, done = Worker(told.append), threading.Event()
    worker.submit(lambda: 1 // 0)  # type: ignore[arg-type, return-value]
    worker.submit(done.set)
    assert done.wait(10)
    assert isinstance(told[0], ZeroDivisionError)
    worker.close()
    worker.join(10)


def test_closing_does_a_last_job_and_takes_no_more() -> None:
    done: list[str] = []
    worker = Worker()
    worker.submit(lambda: done.append("first"))
    worker.close(lambda: done.append("last"))
    worker.submit(lambda: done.append("too late"))
    worker.join(10)
    assert done == ["first", "last"]
    assert workers() == []


def test_closing_before_the_first_job_does_the_last_one_here() -> None:
    done: list[threading.Thread] = []
    Worker().close(lambda: done.append(threading.current_thread()))
    assert done == [threading.current_thread()]


def test_a_worker_that_nobody_holds_ends() -> None:
    worker = Worker()
    worker.submit(lambda: None)
    assert worker.wait(10)
    (thread,) = workers()
    del worker
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()
