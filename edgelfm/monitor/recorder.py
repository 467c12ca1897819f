"""A thread that looks at everything several times a second, and hands what it saw to whoever asked for it.

It keeps no history and writes no file: a `Trace` does the one, `trace_file` the other. It does not keep alive what it
watches, nor itself: dropped without `stop`, it ends.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from ..errors import RequestError
from .events import Event, Events, Inbox
from .reading import HERTZ, Reading, Sample
from .sampler import Sampler

_FASTEST, _SLOWEST = 50.0, 0.01  # hertz
_DIGITS = 5  # of seconds


Listener = Callable[[Sample], None]


class Eyes(Protocol):
    """What a recorder looks with: a `Sampler`, or what stands in for one."""

    def read(self, at: float) -> Reading:
        """Look, at the moment `at` in seconds."""
        ...

    def close(self) -> None:
        """Let go of drivers."""
        ...


class Recorder:
    """Samples at `hertz` from `start` to `stop`, on a schedule that does not drift. Use it as a context manager.

    Listeners are called on its thread, one after another; they must be quick and must not raise.
    """

    def __init__(self, *, hertz: float = HERTZ, sampler: Eyes | None = None) -> None:
        if not _SLOWEST <= hertz <= _FASTEST:
            raise RequestError(
                f"hertz is {hertz!r}", hint=f"from {_SLOWEST:g} to {_FASTEST:g} times a second; {HERTZ:g} is usual"
            )
        self.hertz = float(hertz)
        self.started = time.perf_counter()  # the moment 0 of every sample
        self._sampler = sampler or Sampler()
        self._listeners: tuple[Listener, ...] = ()
        self._own = Events()
        self._inboxes: list[Inbox] = [self._own.listen()]
        self._end, self._wake = threading.Event(), threading.Event()
        self._paused = False
        self._looking = threading.RLock()  # one look at a time
        self._thread: threading.Thread | None = None
        self._let_go = weakref.finalize(self, _let_go, self._end, self._wake, self._inboxes, self._sampler)
        self._let_go.atexit = False

    @property
    def running(self) -> bool:
        """Whether its thread is there, paused or not."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def paused(self) -> bool:
        """Whether it looks at nothing now."""
        return self._paused

    def on_sample(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every sample from now on. Returns what ends that."""
        self._listeners = (*self._listeners, listener)

        def end() -> None:
            self._listeners = tuple(one for one in self._listeners if one is not listener)

        return end

    def listen(self, events: Events) -> None:
        """Put what happens there into the samples, on the same clock.

        When the model is closed, a paused recorder takes one more sample, that says so.
        """
        wake = self._wake

        def heard(event: Event) -> None:
            if event.kind == "close":
                wake.set()

        if not self._end.is_set():
            self._inboxes.append(events.listen(heard))

    def tell(self, event: Event) -> Event:
        """Put an event of your own into the next sample. Its `at` is one of `time.perf_counter`."""
        self._inboxes[0].events.append(event)
        return self._ours(event)

    def mark(self, note: str = "") -> Event:
        """Remark something now."""
        return self.tell(Event(time.perf_counter(), "mark", note=note))

    def start(self) -> Recorder:
        """Take the first sample and begin. Once only; a recorder that was stopped does not start again."""
        if self._thread is None and not self._end.is_set():
            self.look()
            self._thread = threading.Thread(
                target=_run,
                args=(weakref.ref(self), self._end, self._wake, 1.0 / self.hertz),
                name="edgelfm-recorder",
                daemon=True,
            )
            self._thread.start()
        return self

    def pause(self) -> None:
        """Look at nothing until `resume`. Events of models wait."""
        self._wake.clear()
        self._paused = True

    def resume(self) -> None:
        """Go on."""
        self._paused = False
        self._wake.set()

    def stop(self, *, wait: bool = True) -> None:
        """Take the last sample and end the thread. Calling it twice is fine.

        Without `wait` there is no last sample, and the thread may go on for a moment.
        """
        if self._end.is_set():
            return
        self._end.set()
        self._wake.set()
        if wait and self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
            self.look()
        self._let_go()

    def look(self) -> Sample:
        """Take a sample now, besides those of the schedule."""
        with self._looking:
            reading = self._sampler.read(time.perf_counter() - self.started)
            events: list[Event] = []
            tokens: list[float] = []
            for inbox in self._inboxes:
                some_events, some_tokens = inbox.take()
                events += some_events
                tokens += some_tokens
            sample = Sample(
                reading,
                tuple(self._ours(one) for one in sorted(events, key=lambda one: one.at)),
                tuple(round(at - self.started, _DIGITS) for at in sorted(tokens)),
            )
            for listener in self._listeners:
                listener(sample)
            return sample

    def _ours(self, event: Event) -> Event:
        """The same on our clock, with no more digits than are worth writing down."""
        seconds = None if event.seconds is None else round(event.seconds, _DIGITS)
        return replace(event, at=round(event.at - self.started, _DIGITS), seconds=seconds)

    def __enter__(self) -> Recorder:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _run(recorder: weakref.ref[Recorder], end: threading.Event, wake: threading.Event, period: float) -> None:
    """The thread. It holds the recorder only while it looks."""
    due = time.perf_counter() + period
    while not end.wait(max(0.0, due - time.perf_counter())):
        if (one := recorder()) is None:
            return
        if one.paused:
            del one
            wake.wait()
            wake.clear()
            due = time.perf_counter()  # it is worth a look now
            if end.is_set() or (one := recorder()) is None:
                return
        one.look()
        del one
        # The next place on the schedule that is still to come: what took long is left out, not made up for.
        due += period * max(1, -(-(time.perf_counter() - due) // period))


def _let_go(end: threading.Event, wake: threading.Event, inboxes: list[Inbox], sampler: Eyes) -> None:
    end.set()
    wake.set()
    for inbox in inboxes:
        inbox.close()
    sampler.close()
