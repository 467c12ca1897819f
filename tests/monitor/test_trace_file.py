"""A trace as a file and back, also after a crash, a full disk, and damage."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgelfm.errors import TraceFileError
from edgelfm.monitor.events import Event
from edgelfm.monitor.reading import Reading, Sample
from edgelfm.monitor.trace import About, Trace
from edgelfm.monitor.trace_file import TraceWriter
from tests.monitor.traces import ABOUT, reading, recorded


def same(one: Trace, other: Trace) -> bool:
    return (one.about, one.readings, one.events, one.tokens) == (
        other.about,
        other.readings,
        other.events,
        other.tokens,
    )


def test_there_and_back_without_loss(tmp_path: Path) -> None:
    trace = recorded()
    path = trace.to_jsonl(tmp_path / "a.jsonl")
    read = Trace.read(path)
    assert same(read, trace)
    assert read.path == path


def test_written_as_it_goes_it_is_the_same_file(tmp_path: Path) -> None:
    trace = recorded()
    writer = TraceWriter(tmp_path / "grown.jsonl", trace.about)
    for sample in trace.samples():
        writer.add(sample)
    writer.close()
    writer.close()
    assert not writer.problem
    assert (tmp_path / "grown.jsonl").read_bytes() == trace.to_jsonl(tmp_path / "whole.jsonl").read_bytes()


def test_every_sample_is_in_the_file_at_once(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / "live.jsonl", ABOUT)
    for count, sample in enumerate(recorded().samples(), start=1):
        writer.add(sample)
        assert len(Trace.read(writer.path)) == count
    writer.close()


def test_what_is_known_later_replaces_what_was_known(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / "live.jsonl", About(machine="here"))
    writer.add(Sample(reading(0.0)))
    writer.about(replace(ABOUT, machine="here"))
    writer.close()
    assert Trace.read(writer.path).about == replace(ABOUT, machine="here")


@given(
    at=st.floats(0, 1e6),
    resident=st.none() | st.integers(0, 2**50),
    busy=st.none() | st.lists(st.floats(0, 1), min_size=1, max_size=4).map(tuple),
    note=st.text(max_size=30),
    reasons=st.none() | st.lists(st.text(max_size=8), min_size=1, max_size=3).map(tuple),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_any_reading(
    tmp_path: Path,
    at: float,
    resident: int | None,
    busy: tuple[float, ...] | None,
    note: str,
    reasons: tuple[str, ...] | None,
) -> None:
    sample = Sample(
        Reading(at, resident_bytes=resident, busy=busy, throttled=reasons), (Event(at, "mark", note=note),), (at,)
    )
    trace = Trace(samples=[sample])
    assert same(Trace.read(trace.to_jsonl(tmp_path / "any.jsonl")), trace)


@pytest.mark.parametrize("reasons", [None, ()])
def test_not_throttled_and_unknown_are_different_things(tmp_path: Path, reasons: tuple[str, ...] | None) -> None:
    trace = Trace(samples=[Sample(Reading(1.0, throttled=reasons))])
    assert Trace.read(trace.to_jsonl(tmp_path / "a.jsonl")).readings[0].throttled == reasons


class TestDamage:
    def lines(self, tmp_path: Path) -> list[bytes]:
        return recorded().to_jsonl(tmp_path / "good.jsonl").read_bytes().splitlines(keepends=True)

    def test_a_last_line_that_was_cut_short_is_left_out(self, tmp_path: Path) -> None:
        lines = self.lines(tmp_path)
        path = tmp_path / "cut.jsonl"
        for kept in (1, len(lines[-1]) // 2, len(lines[-1]) - 2):
            path.write_bytes(b"".join([*lines[:-1], lines[-1][:kept]]))
            assert len(Trace.read(path)) == 40

    def test_a_last_line_that_lacks_only_its_end_counts(self, tmp_path: Path) -> None:
        path = tmp_path / "cut.jsonl"
        path.write_bytes(b"".join(self.lines(tmp_path)).rstrip())
        assert len(Trace.read(path)) == 41

    def test_zeros_after_a_power_cut_are_left_out(self, tmp_path: Path) -> None:
        path = tmp_path / "cut.jsonl"
        path.write_bytes(b"".join(self.lines(tmp_path)) + b"\0" * 500)
        assert len(Trace.read(path)) == 41

    @pytest.mark.parametrize(
        ("line", "text", "words"),
        [
            (3, b"{\n", "line 3"),
            (5, b"\n", "line 5"),
            (2, b'{"reading": {"resident_bytes": 5}}\n', "line 2: reading.at"),
            (2, b'{"reading": {"at": "soon"}}\n', "line 2: reading.at"),
            (4, b'{"tokens": [1, "two"]}\n', r"line 4: tokens\.1"),
            (4, b'{"event": {"at": 1}}\n', "line 4: event.kind"),
            (6, b"\xff\xfe\n", "line 6"),
            (6, b"[1, 2]\n", "line 6"),
            (1, b'{"format": "something else", "version": 1}\n', "no trace"),
            (1, b'{"format": "edgelfm trace", "version": 99}\n', "version 99"),
            (1, b'{"reading": {"at": 1.0}}\n', "no trace"),
        ],
    )
    def test_damage_names_file_and_line(self, tmp_path: Path, line: int, text: bytes, words: str) -> None:
        lines = self.lines(tmp_path)
        lines[line - 1] = text
        path = tmp_path / "bad.jsonl"
        path.write_bytes(b"".join(lines))
        with pytest.raises(TraceFileError, match=words) as caught:
            Trace.read(path)
        assert str(path) in str(caught.value)
        assert caught.value.hint

    @pytest.mark.parametrize("content", [b"", b'{"format": "edgelfm tr', b"\0\0\0", b"\x89PNG\r\n\x1a\n"])
    def test_what_is_no_trace_at_all(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "bad.jsonl"
        path.write_bytes(content)
        with pytest.raises(TraceFileError, match=r"bad\.jsonl"):
            Trace.read(path)

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(TraceFileError, match="cannot be read"):
            Trace.read(tmp_path / "nothing.jsonl")

    def test_what_a_later_version_adds_is_passed_over(self, tmp_path: Path) -> None:
        lines = self.lines(tmp_path)
        first = json.loads(lines[0])
        first["about"]["colour"] = "green"
        later = b'{"fan": {"rpm": 900}}\n{"reading": {"at": 99.0, "fan": 1}}\n{"event": {"at": 99.5, "kind": "nap"}}\n'
        path = tmp_path / "later.jsonl"
        path.write_bytes(json.dumps(first).encode() + b"\n" + b"".join(lines[1:]) + later)
        assert Trace.read(path).readings[-1].at == 99.0


class TestFullDisk:
    def test_a_recording_that_somebody_forgot_stops_growing(self, tmp_path: Path) -> None:
        writer = TraceWriter(tmp_path / "long.jsonl", ABOUT, most=5000)
        for step in range(100):
            writer.add(Sample(reading(float(step))))
        writer.close()
        assert "limit" in writer.problem
        assert writer.path.stat().st_size <= 5000
        assert 0 < len(Trace.read(writer.path)) < 100

    def test_a_full_disk_ends_the_file_and_not_the_recording(self) -> None:
        if not os.path.exists("/dev/full"):
            pytest.skip("to run: a system with /dev/full")
        writer = TraceWriter(Path("/dev/full"), ABOUT)
        writer.add(Sample(reading(0.0)))
        writer.close()
        assert "not written any more" in writer.problem

    def test_a_folder_that_takes_no_files(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(TraceFileError, match="cannot be written"):
            TraceWriter(tmp_path / "file" / "a.jsonl", ABOUT)
        with pytest.raises(TraceFileError, match="cannot be written"):
            recorded().to_jsonl(tmp_path / "nowhere" / "a.jsonl")
