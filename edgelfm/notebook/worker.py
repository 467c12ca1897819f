"""One thread that does everything slow for a widget, one job after another: loading, replies, tuning.

Widget callbacks come in the kernel's main thread or, in newer JupyterLab, in a thread of their own while a cell runs.
None of them may wait for a model, so they only put a job in line.
"""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable

Job = Callable[[], None]


class Worker:
    """A line of jobs. A job that raises ends only itself; `on_error` hears of it.

    The thread starts with the first job and goes when the worker is closed or nobody holds it any more.
    """

    def __init__(self, on_error: Callable[[Exception], None] = lambda error: None) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._on_error = on_error
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = False
        weakref.finalize(self, self._jobs.put, None)  # the thread knows the line of jobs, not this object

    def submit(self, job: Job) -> None:
        """Do `job` after those before it. Nothing happens after `close`."""
        with self._lock:
            if self._closed:
                return
            if self._thread is None:
                self._thread = threading.Thread(
                    target=_run, args=(self._jobs, self._on_error), name="edgelfm-worker", daemon=True
                )
                self._thread.start()
            self._jobs.put(job)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until every job so far is done. False if `timeout` seconds were not enough."""
        done = threading.Event()
        self.submit(done.set)
        return self._closed or self._thread is threading.current_thread() or done.wait(timeout)

    def close(self, last: Job | None = None) -> None:
        """Take no more jobs; do `last` after those in line, and let the thread go. Does not wait for it."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if last is not None and self._thread is None:
                last()
            elif last is not None:
                self._jobs.put(last)
            self._jobs.put(None)

    def join(self, timeout: float | None = None) -> None:
        """Wait for the thread to go, after `close`."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)


def _run(jobs: queue.SimpleQueue[Job | None], on_error: Callable[[Exception], None]) -> None:
    while (job := jobs.get()) is not None:
        try:
            job()
        except Exception as error:  # noqa: BLE001  whatever it was, the next job must be done
            on_error(error)
        del job  # it may hold a model, and the next may be long in coming
