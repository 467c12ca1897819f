"""`edgelfm.record`: a real model, a real file, a process that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgelfm
from edgelfm import Trace
from edgelfm.errors import RequestError, TraceFileError
from edgelfm.live_trace import KEPT_FILES


@pytest.fixture(scope="module")
def lfm() -> Iterator[edgelfm.Model]:
    with edgelfm.load("starter", context=1024, progress=False, tune=False) as model:
        yield model


def recorders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "edgelfm-recorder"]


def test_a_reply_is_recorded_and_lies_in_the_file_that_the_trace_names(lfm: edgelfm.Model) -> None:
    with edgelfm.record(lfm, hertz=20) as trace:
        assert recorders()
        reply = lfm.chat("Why is the sky blue?", temperature=0, max_tokens=30)
        trace.mark("done")
    assert not recorders()
    summary = trace.summary()
    assert summary.tokens == reply.usage.completion_tokens
    assert summary.decode_tokens_per_second == pytest.approx(reply.timings.decode_tokens_per_second, rel=0.01)
    assert summary.first_token_seconds == (pytest.approx(reply.timings.first_token_seconds, rel=0.01),)
    assert summary.predicted_bytes == lfm.candidate.memory.on("host")
    assert trace.about.model == lfm.entry.name
    assert {part.name: part.bytes for part in trace.about.held}["weights"] == lfm.memory().weights
    assert [event.note for event in trace.events if event.kind == "mark"] == ["done"]
    assert [event.seconds for event in trace.events if event.kind == "load"] == [
        pytest.approx(lfm.load_seconds, abs=1e-4)
    ]
    assert trace.path is not None
    assert trace.path.parent == Path(os.environ["EDGELFM_CACHE"]) / "traces"
    read = Trace.read(trace.path)
    assert (read.about, read.readings, read.events, read.tokens) == (
        trace.about, trace.readings, trace.events, trace.tokens
    )  # fmt: skip


def test_the_peak_is_that_of_the_kernel() -> None:
    """Memory that comes and goes between two samples is in it. A process of its own, for it must be a new peak."""
    code = """
import resource, edgelfm
with edgelfm.record(hertz=0.5) as trace:
    with edgelfm.load("starter", context=512, progress=False, tune=False) as lfm:
        lfm.chat("Hi", max_tokens=2)
    held = bytearray(b"x") * (600 * 1024**2)
    del held
kept = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(trace.summary().peak_bytes, kept, max(one.resident_bytes for one in trace.readings))
"""
    # A shell in between: Linux counts the peak of whoever started a process as its own, and pytest may be large.
    command = ["/bin/sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", code]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    told, kept, sampled = map(int, ran.stdout.split())
    assert told == pytest.approx(kept * (1 if sys.platform == "darwin" else 1024), rel=0.02)
    assert sampled < 0.9 * told


def test_without_a_model_it_is_the_machine_and_a_model_may_come_later(tmp_path: Path) -> None:
    with edgelfm.record(path=tmp_path / "later.jsonl", hertz=20) as trace:
        assert trace.about.machine
        assert not trace.about.model
        with edgelfm.load("starter", context=512, progress=False, tune=False) as model:
            trace.watch(model)
            model.chat("Hi", max_tokens=3)
    read = Trace.read(tmp_path / "later.jsonl")
    assert read.about.model == trace.about.model != ""
    assert read.events[0].kind == "load"
    assert read.events[-1].kind == "close"
    assert len(read.tokens) == 3


def test_an_error_in_the_block_comes_out_and_is_in_the_trace(lfm: edgelfm.Model) -> None:
    with pytest.raises(ZeroDivisionError), edgelfm.record(lfm) as trace:
        1 / 0
    assert not recorders()
    assert "ZeroDivisionError" in trace.events[-1].note
    assert trace.path is not None
    assert Trace.read(trace.path).events == trace.events


def test_it_can_go_over_several_cells(lfm: edgelfm.Model) -> None:
    trace = edgelfm.record(lfm).start()
    lfm.chat("Hi", max_tokens=2)
    trace.stop()
    trace.stop()
    assert not recorders()
    assert len(trace.tokens) == 2


def test_only_the_latest_stay_in_the_cache(lfm: edgelfm.Model) -> None:
    folder = Path(os.environ["EDGELFM_CACHE"]) / "traces"
    paths = []
    for _ in range(KEPT_FILES + 2):
        with edgelfm.record(lfm) as trace:
            pass
        paths.append(trace.path)
    assert len(set(paths)) == len(paths)
    assert sorted(folder.glob("*.jsonl")) == sorted(path for path in paths[2:] if path is not None)


def test_a_cache_that_takes_no_files_does_not_spoil_the_recording(
    lfm: edgelfm.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGELFM_CACHE", str(tmp_path / "file"))
    with edgelfm.record(lfm) as trace:
        lfm.chat("Hi", max_tokens=2)
    assert trace.path is None
    assert "cannot be written" in trace.problem
    assert len(trace.tokens) == 2


def test_a_path_that_was_asked_for_must_be_written(lfm: edgelfm.Model, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TraceFileError):
        edgelfm.record(lfm, tmp_path / "file" / "a.jsonl")
    with pytest.raises(RequestError, match="hertz"):
        edgelfm.record(lfm, hertz=0)
    assert not recorders()


def test_a_killed_process_loses_no_more_than_a_second(tmp_path: Path) -> None:
    path = tmp_path / "killed.jsonl"
    code = """
import sys, time, edgelfm
with edgelfm.load("starter", context=512, progress=False, tune=False) as lfm:
    with edgelfm.record(lfm, sys.argv[1]) as trace:
        while True:
            for text in lfm.stream("Tell me a story.", max_tokens=100):
                print(time.perf_counter() - trace._recorder.started, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said = next(at for line in child.stdout if (at := float(line)) > 3)
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read().split()
    said = max([said, *(float(one) for one in rest[:-1])])  # the last may be cut short
    trace = Trace.read(path)
    assert said - trace.seconds < 1
    assert said - trace.tokens[-1] < 1
    assert trace.summary().decode_tokens_per_second
    assert trace.about.model


def test_a_recording_that_nobody_holds_ends() -> None:
    import gc

    edgelfm.record(hertz=50).start()
    gc.collect()
    (thread,) = recorders() or [None]
    if thread is not None:
        thread.join(10)
    assert not recorders()


def test_recording_does_not_hold_the_model() -> None:
    import gc
    import weakref

    model = edgelfm.load("starter", context=512, progress=False, tune=False)
    with edgelfm.record(model) as trace:
        model.chat("Hi", max_tokens=2)
        gone = weakref.ref(model._session)
        gc.disable()
        try:
            del model
            assert gone() is None
        finally:
            gc.enable()
    assert trace.events[-1].kind == "reply"


def test_recording_costs_next_to_nothing(lfm: edgelfm.Model) -> None:
    """At four a second the thread must leave a core at least ninety-nine hundredths of itself."""
    import psutil

    process, done = psutil.Process(), threading.Event()
    with edgelfm.record(lfm) as trace:
        (thread,) = recorders()
        number = thread.native_id
        before = {one.id: one for one in process.threads()}
        begun = time.perf_counter()
        trace._recorder.on_sample(lambda sample: done.set() if sample.reading.at > 3 else None)
        assert done.wait(60)
        seconds = time.perf_counter() - begun
        after = {one.id: one for one in process.threads()}
    if number not in before or number not in after:
        pytest.skip("to run: a system that tells the processor time of threads")
    user, system = (
        getattr(after[number], kind) - getattr(before[number], kind) for kind in ("user_time", "system_time")
    )
    assert (user + system) / seconds < 0.01
