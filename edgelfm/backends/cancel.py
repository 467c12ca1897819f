"""A request to stop, which native code can see without asking Python."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Cancel:
    """Set it from any thread to stop a generation within one token, or in the middle of a prefill.

    It differs from `threading.Event` in one thing: a backend can have a callback run at the moment of `set()`, and so
    raise a flag that its native code polls.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may set it while its own thread is in here
        self._set = False
        self._watchers: list[Callable[[], None]] = []

    def set(self) -> None:
        """Ask to stop. There is no way back; use a new object for the next generation."""
        with self._lock:  # so that no watcher is called after it stopped watching, when another generation may run
            self._set = True
            for watcher in tuple(self._watchers):
                watcher()

    def is_set(self) -> bool:
        """Whether somebody asked to stop."""
        return self._set

    @contextmanager
    def watched_by(self, callback: Callable[[], None]) -> Iterator[None]:
        """Call `callback` when the request comes, or at once if it has come already, until the block ends."""
        with self._lock:
            self._watchers.append(callback)
            already = self._set
        if already:
            callback()
        try:
            yield
        finally:
            with self._lock:
                self._watchers.remove(callback)
