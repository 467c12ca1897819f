"""Who looks at a widget now? Views say so every few seconds, and one that falls silent is gone: its tab was closed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from .kernel import soon

_EVERY = 1.0  # seconds between two rounds of counting
#: Rounds in which a view was silent before it counts as gone. Views speak every three seconds.
PATIENCE = 10


class Audience:
    """The views of one widget that can be seen.

    Silence is counted on the thread that hears views, for while that is busy, as with a long cell, silence means
    nothing. `beat` calls a function there when it has time.
    """

    def __init__(
        self,
        *,
        beat: Callable[[Callable[[], None]], None] = soon,
        clock: Callable[[], float] = time.monotonic,
        patience: int = PATIENCE,
    ) -> None:
        self._beat, self._clock, self._patience = beat, clock, patience
        self._silent: dict[str, int] = {}  # rounds since each view that can be seen was heard
        self._lock = threading.Lock()
        self._next = clock()
        self._counting = False

    def __bool__(self) -> bool:
        """Whether anybody looks."""
        return bool(self._silent)

    def heard(self, view: str, *, visible: bool) -> None:
        """A view is there, and can be seen or not."""
        with self._lock:
            if visible:
                self._silent[view] = 0
            else:
                self._silent.pop(view, None)

    def count(self) -> None:
        """Call this often while somebody looks. It may forget views that have been silent."""
        now = self._clock()
        if now >= self._next and not self._counting:
            self._next, self._counting = now + _EVERY, True
            self._beat(self._round)

    def _round(self) -> None:
        with self._lock:
            self._counting = False
            self._silent = {view: rounds + 1 for view, rounds in self._silent.items() if rounds < self._patience}
