"""Ctrl-C, and the stop button of a notebook, during one long native call.

Python raises `KeyboardInterrupt` in the main thread, and only when native code has returned. On a small board one piece
of a prefill takes many seconds. So the main thread lets another do the work and waits, which an interrupt can end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def run(call: Callable[[], T], interrupt: Callable[[], None]) -> T:
    """The result of `call()`. If an interrupt comes meanwhile, calls `interrupt`, waits for the end, and raises it."""
    if threading.current_thread() is not threading.main_thread():
        return call()
    results: list[T] = []
    failures: list[BaseException] = []
    done = threading.Event()

    def work() -> None:
        try:
            results.append(call())
        except BaseException as failure:  # noqa: BLE001  (raised again where it was called)
            failures.append(failure)
        finally:
            done.set()

    threading.Thread(target=work, name="edgelfm-prefill", daemon=True).start()
    try:
        done.wait()
    except BaseException:
        interrupt()
        done.wait()
        raise
    if failures:
        raise failures[0]
    return results[0]
