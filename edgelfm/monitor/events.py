"""What a model does and when, on the clock of `time.perf_counter`: for whoever listens, at next to no cost otherwise.

A session has one hub, `Events`, and tells it what happens. Who wants to know asks the hub for an `Inbox` and empties it
from time to time, so that no code of a listener runs between tokens. Of tokens only the moments are kept.
Knows nothing of models, and of listeners only their inboxes.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

#: load: a model was opened. prefill, prefilled: evaluating a prompt begins, has ended. first_token: of a reply.
#: checkpoint: a place to come back to was kept. restore: the state went back to one, or to a parked state.
#: reply: a reply has ended. tool_call: a tool was called. mark: somebody's own remark. close: the model was closed.
Kind = Literal[
    "load", "prefill", "prefilled", "first_token", "checkpoint", "restore", "reply", "tool_call", "mark", "close"
]

_T = TypeVar("_T")
_MOST_EVENTS, _MOST_TOKENS = 10_000, 200_000  # in an inbox that nobody empties; the oldest go


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `tokens` and `seconds` say how much and how long, where that makes sense."""

    at: float  # seconds; when it happened, for what takes time when it ended
    kind: str  # one of `Kind`, or what a later version knows
    tokens: int | None = None
    seconds: float | None = None
    note: str = ""


class Inbox:
    """What happened since it was last emptied. `close` ends it."""

    def __init__(self, hub: Events, on_event: Callable[[Event], None] | None = None) -> None:
        self.on_event = on_event
        self.events: deque[Event] = deque(maxlen=_MOST_EVENTS)
        self.tokens: deque[float] = deque(maxlen=_MOST_TOKENS)
        self._hub = weakref.ref(hub)  # whoever listens must not keep a model alive

    def take(self) -> tuple[list[Event], list[float]]:
        """Events, and moments of sampled tokens, oldest first."""
        return _drain(self.events), _drain(self.tokens)

    def close(self) -> None:
        """Hear nothing more. What is in it stays."""
        if (hub := self._hub()) is not None:
            hub.forget(self)


class Events:
    """The hub of one session.

    `token` is None while nobody listens; else call it with the moment of each sampled token.
    """

    __slots__ = ("__weakref__", "_inboxes", "_lock", "token")

    def __init__(self) -> None:
        self.token: Callable[[float], None] | None = None
        self._inboxes: tuple[Inbox, ...] = ()
        self._lock = threading.RLock()  # an inbox may be closed by the garbage collector, in any thread

    def __bool__(self) -> bool:
        """Whether anybody listens."""
        return bool(self._inboxes)

    def listen(self, on_event: Callable[[Event], None] | None = None) -> Inbox:
        """An inbox that fills from now on, until it is closed.

        `on_event` is called with every event but tokens, by the thread that runs the model: it must be quick, must not
        raise, and must not hold what should be freed before the model is.
        """
        inbox = Inbox(self, on_event)
        self._set(lambda inboxes: (*inboxes, inbox))
        return inbox

    def forget(self, inbox: Inbox) -> None:
        """Tell this inbox nothing more."""
        self._set(lambda inboxes: tuple(one for one in inboxes if one is not inbox))

    def emit(
        self,
        kind: Kind,
        *,
        tokens: int | None = None,
        seconds: float | None = None,
        note: str = "",
        at: float | None = None,
    ) -> None:
        """Something has happened, now or at the moment `at`."""
        if self._inboxes:
            event = Event(time.perf_counter() if at is None else at, kind, tokens, seconds, note)
            for inbox in self._inboxes:
                inbox.events.append(event)
                if inbox.on_event is not None:
                    inbox.on_event(event)

    def _set(self, change: Callable[[tuple[Inbox, ...]], tuple[Inbox, ...]]) -> None:
        with self._lock:
            self._inboxes = change(self._inboxes)
            appends = [inbox.tokens.append for inbox in self._inboxes]
            self.token = None if not appends else appends[0] if len(appends) == 1 else _all(appends)


def _all(appends: list[Callable[[float], None]]) -> Callable[[float], None]:
    def append(at: float) -> None:
        for one in appends:
            one(at)

    return append


def _drain(waiting: deque[_T]) -> list[_T]:
    taken = []
    while waiting:  # one thread empties it, others only add
        taken.append(waiting.popleft())
    return taken
