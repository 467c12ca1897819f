"""Ctrl-C, and the stop button of a notebook, during one long native call.

Python raises `KeyboardInterrupt` in the main thread, and only when native code has returned. On a small board one piece
of a prefill takes many seconds. So the main thread lets another do the work and waits, which an interrupt can end.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

from . import openmp

T = TypeVar("T")


def run(call: Callable[[], T], interrupt: Callable[[], None]) -> T:
    """The result of `call()`. If an interrupt comes meanwhile, calls `interrupt`, waits for the end, and raises it.

    Whatever happens, `call` is not running any more when this returns or raises.
    """
    if threading.current_thread() is not threading.main_thread():
        return call()
    openmp.rest()  # else our team and that of the other thread would be too many together
    begun = threading.Lock()  # taken by whoever is first: the thread that computes, or an interrupt before it could
    done = threading.Event()
    results: list[T] = []
    failures: list[BaseException] = []

    def work() -> None:
        if not begun.acquire(blocking=False):
            return
        try:
            results.append(call())
        except BaseException as failure:  # noqa: BLE001  (raised again where it was called)
            failures.append(failure)
        finally:
            done.set()

    try:
        threading.Thread(target=work, name="edgelfm-prefill", daemon=True).start()
        done.wait()
    except BaseException:
        if not begun.acquire(blocking=False):
            interrupt()
            _wait_whatever_comes(done)
        raise
    if failures:
        raise failures[0]
    return results[0]


def _wait_whatever_comes(done: threading.Event) -> None:
    """Wait through further interrupts: native code must not be left running on a state that others then use."""
    while not done.is_set():
        with contextlib.suppress(BaseException):
            done.wait()
