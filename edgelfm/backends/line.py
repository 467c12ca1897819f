"""Who may use the model now: one at a time, first come, first served.

`threading.Lock` promises no order, so under load one thread can starve. Here every caller takes a number.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable

_RETRY_SECONDS = 0.05  # between attempts to evict a holder that was computing when it was asked to go


class Turn:
    """The right to use the model until `release()`. Release it from any thread, and as often as you like."""

    def __init__(self, line: Line, evict: Callable[[], None]) -> None:
        self.thread = threading.current_thread()
        self.evict = evict
        self.ready = threading.Event()
        self._line = line

    def release(self) -> None:
        """Let the next in line go."""
        self._line._release(self)


class Line:
    """A queue of turns.

    `evict` of a turn ends the holder from outside and so releases the turn. It raises `ValueError` while the holder is
    computing, as closing a running generator does.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Turn] = deque()
        self._current: Turn | None = None

    def take(self, evict: Callable[[], None]) -> Turn:
        """Wait for a turn.

        If the main thread holds the current turn and asks for another, somebody left an iterator half read and started
        a new generation. Waiting would hang the program on itself, so the old one is ended. Other threads wait: in a
        thread pool, the same thread serves one stream after another, and both are wanted.
        """
        turn, current = self._join(evict)
        main = threading.main_thread()
        if current is not None and current.thread is main and turn.thread is main:
            current.evict()
        try:
            turn.ready.wait()
        except BaseException:  # an interrupt while waiting must not leave a number that nobody will use
            turn.release()
            raise
        return turn

    def take_over(self) -> Turn:
        """Go to the front, ending whoever holds the turn."""
        turn, _ = self._join(lambda: None, front=True)
        while not turn.ready.wait(0 if self._current is turn else _RETRY_SECONDS):
            holder = self._current
            if holder is not None and holder is not turn:
                with contextlib.suppress(ValueError):  # it is computing; it will see the flags it was given
                    holder.evict()
        return turn

    def _join(self, evict: Callable[[], None], *, front: bool = False) -> tuple[Turn, Turn | None]:
        turn = Turn(self, evict)
        with self._lock:
            current = self._current
            if current is None:
                self._current = turn
                turn.ready.set()
            elif front:
                self._waiting.appendleft(turn)
            else:
                self._waiting.append(turn)
        return turn, current

    def _release(self, turn: Turn) -> None:
        with self._lock:
            if turn is not self._current:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                return
            self._current = self._waiting.popleft() if self._waiting else None
            if self._current is not None:
                self._current.ready.set()
