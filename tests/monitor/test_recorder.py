"""The thread that looks: on time, never in the way, and gone when it is not wanted any more."""

from __future__ import annotations

import gc
import queue
import threading
import time
import weakref
from collections.abc import Callable

import pytest

from edgelfm.errors import RequestError
from edgelfm.monitor.events import Event, Events
from edgelfm.monitor.reading import Reading, Sample
from edgelfm.monitor.recorder import Recorder


class Eyes:
    """Look at nothing, as slowly as one likes."""

    def __init__(self, seconds: Callable[[], float] = lambda: 0.0) -> None:
        self.seconds = seconds
        self.closed = False

    def read(self, at: float) -> Reading:
        time.sleep(self.seconds())
        return Reading(at)

    def close(self) -> None:
        self.closed = True


def samples(recorder: Recorder) -> queue.SimpleQueue[Sample]:
    """Where its samples arrive."""
    waiting: queue.SimpleQueue[Sample] = queue.SimpleQueue()
    recorder.on_sample(waiting.put)
    return waiting


def next_of(waiting: queue.SimpleQueue[Sample], count: int) -> list[Sample]:
    return [waiting.get(timeout=10) for _ in range(count)]


def test_it_looks_first_last_and_in_between_without_drift() -> None:
    recorder = Recorder(hertz=50, sampler=Eyes())
    waiting = samples(recorder)
    with recorder:
        at = [sample.reading.at for sample in next_of(waiting, 26)]
        assert recorder.running
    assert at[0] == pytest.approx(0.0, abs=0.1)
    beats = [moment - at[0] for moment in at[1:]]
    # Late by a while now and then, but never by more and more: each is on the schedule of the first.
    assert min(abs(beat - round(beat * 50) / 50) for beat in beats[-5:]) < 0.01
    assert beats[-1] >= 0.49
    assert not recorder.running
    assert waiting.get(timeout=1).reading.at > at[-1]


def test_a_slow_look_is_left_out_and_not_made_up_for() -> None:
    pauses = iter([0.0, 0.3])
    recorder = Recorder(hertz=50, sampler=Eyes(lambda: next(pauses, 0.0)))
    waiting = samples(recorder)
    with recorder:
        at = [sample.reading.at for sample in next_of(waiting, 5)]
    assert at[2] - at[1] > 0.29
    assert at[4] - at[2] > 0.03


def test_what_a_model_does_is_on_the_same_clock() -> None:
    events = Events()
    recorder = Recorder(hertz=50, sampler=Eyes())
    recorder.listen(events)
    begun = time.perf_counter()
    events.emit("first_token", seconds=0.25)
    assert events.token is not None
    events.token(time.perf_counter())
    recorder.mark("here")
    sample = recorder.look()
    assert [event.kind for event in sample.events] == ["first_token", "mark"]
    assert sample.events[0].at == pytest.approx(begun - recorder.started, abs=0.01)
    assert sample.events[0].seconds == 0.25
    assert sample.events[0].at <= sample.tokens[0] <= sample.reading.at + 0.01
    assert recorder.look().events == ()
    recorder.stop()
    assert not events


def test_a_paused_recorder_looks_at_nothing_and_goes_on() -> None:
    recorder = Recorder(hertz=50, sampler=Eyes())
    waiting = samples(recorder)
    with recorder:
        next_of(waiting, 2)
        recorder.pause()
        recorder.look()  # whatever was under way is done
        while not waiting.empty():
            waiting.get()
        with pytest.raises(queue.Empty):
            waiting.get(timeout=0.2)
        recorder.resume()
        next_of(waiting, 3)


def test_a_paused_recorder_notices_that_a_model_is_closed() -> None:
    events = Events()
    recorder = Recorder(hertz=50, sampler=Eyes())
    recorder.listen(events)
    recorder.pause()
    waiting = samples(recorder)
    with recorder:
        next_of(waiting, 1)
        events.emit("reply", tokens=3)
        events.emit("close")
        (sample,) = next_of(waiting, 1)
        assert [event.kind for event in sample.events] == ["reply", "close"]
        assert recorder.paused


def test_stopping_twice_and_from_its_own_thread() -> None:
    eyes = Eyes()
    recorder = Recorder(hertz=50, sampler=eyes)
    stopped = threading.Event()

    def stop(sample: Sample) -> None:
        if threading.current_thread() is not threading.main_thread():
            recorder.stop()
            stopped.set()

    recorder.on_sample(stop)
    recorder.start()
    assert stopped.wait(10)
    assert eyes.closed
    recorder.stop()
    recorder.start()
    assert recorder.started > 0


def test_a_listener_can_leave() -> None:
    recorder = Recorder(sampler=Eyes())
    heard: list[Sample] = []
    leave = recorder.on_sample(heard.append)
    recorder.look()
    leave()
    recorder.look()
    assert len(heard) == 1


def test_a_recorder_that_nobody_holds_ends_its_thread() -> None:
    eyes, events = Eyes(), Events()
    recorder = Recorder(hertz=50, sampler=eyes)
    recorder.listen(events)
    recorder.start()
    thread = recorder._thread
    assert thread is not None
    gone = weakref.ref(recorder)
    del recorder
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()
    assert gone() is None
    assert eyes.closed
    assert not events


def test_it_does_not_hold_what_it_listens_to() -> None:
    events = Events()
    recorder = Recorder(sampler=Eyes())
    recorder.listen(events)
    gone = weakref.ref(events)
    del events
    assert gone() is None
    recorder.stop()


def test_an_event_of_ones_own() -> None:
    recorder = Recorder(sampler=Eyes())
    event = recorder.tell(Event(recorder.started + 1.25, "load", seconds=0.5, note="starter"))
    assert event.at == 1.25
    assert recorder.look().events == (event,)


@pytest.mark.parametrize("hertz", [0, -1, 1000, float("nan")])
def test_a_rate_that_makes_no_sense(hertz: float) -> None:
    with pytest.raises(RequestError, match="hertz"):
        Recorder(hertz=hertz, sampler=Eyes())
