"""A recording while it grows, and what is made of it: tables and pictures."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from edgelfm.errors import RequestError, TraceFileError
from edgelfm.monitor.events import Event
from edgelfm.monitor.reading import Reading, Sample
from edgelfm.monitor.trace import Trace
from tests.monitor.traces import reading, recorded


def test_what_was_added_is_there_in_order() -> None:
    trace = recorded()
    assert len(trace) == 41
    assert trace.seconds == 10.0
    assert list(trace.tokens) == sorted(trace.tokens)
    assert [event.kind for event in trace.events][:4] == ["prefill", "prefilled", "first_token", "reply"]
    assert "Tiny Q4_0 on llama.cpp" in repr(trace)


def test_samples_give_everything_back_once() -> None:
    trace = recorded()
    trace.add(Sample(reading(10.25), (Event(10.26, "mark"),), (10.251,)))  # found while it was looked
    again = Trace(trace.about, trace.samples())
    assert (again.readings, again.events, again.tokens) == (trace.readings, trace.events, trace.tokens)


def test_only_the_latest_stay_in_memory() -> None:
    trace = Trace(keep=10)
    for step in range(100):
        trace.add(Sample(Reading(float(step)), (Event(step - 0.5, "mark"),), (step - 0.5, step - 0.25)))
    assert (len(trace), trace.dropped) == (10, 90)
    assert trace.readings[0].at == 90
    assert min(event.at for event in trace.events) > 90
    assert len(trace.tokens) == 18


class TestPandas:
    def test_readings_have_a_column_for_each_core(self) -> None:
        pandas = pytest.importorskip("pandas", reason="to run: pip install pandas")
        frame = recorded().to_pandas()
        assert isinstance(frame, pandas.DataFrame)
        assert len(frame) == 41
        assert frame["busy_3"].iloc[0] == 1.0
        assert frame["gpu_0_busy"].iloc[0] == 0.5
        assert frame["tokens_per_second"].max() == pytest.approx(10, rel=0.01)
        assert frame["throttled"].iloc[-1] == "soft temperature limit"

    def test_events_and_tokens(self) -> None:
        pytest.importorskip("pandas", reason="to run: pip install pandas")
        assert list(recorded().to_pandas("events")["kind"]).count("reply") == 2
        assert len(recorded().to_pandas("tokens")) == 42
        with pytest.raises(RequestError, match="no table"):
            recorded().to_pandas("pictures")  # type: ignore[arg-type]

    def test_without_pandas_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pandas", None)
        with pytest.raises(TraceFileError) as caught:
            recorded().to_pandas()
        assert caught.value.hint == "pip install pandas"


def svg(html: str) -> ElementTree.Element:
    """The first picture in a piece of HTML."""
    found = re.search(r"<svg.*</svg>", html, re.DOTALL)
    assert found is not None
    return ElementTree.fromstring(found[0])


def lines(trace: Trace) -> int:
    """Unbroken lines in its picture."""
    return sum(1 for _ in svg(trace.plot().svg).iter("polyline"))


class TestPicture:
    def test_everything_that_is_known_has_a_strip(self) -> None:
        words = [one.text for one in svg(recorded().plot().svg).iter("text")]
        for name in (
            "memory, MiB",
            "decode, tokens/s",
            "cores kept busy",
            "GPU busy, %",
            "temperature, °C",
            "power, W",
        ):
            assert name in words
        assert "predicted 100 MiB" in words
        assert "NPU busy, %" not in words

    def test_it_can_be_heard(self) -> None:
        picture = svg(recorded().plot().svg)
        assert picture.get("role") == "img"
        described = picture.find("desc")
        assert described is not None
        assert "10.0 tokens/s" in (described.text or "")

    def test_marks_are_named_and_escaped(self) -> None:
        plot = recorded().plot()
        assert "<b>fan</b> off" in [one.text for one in svg(plot.svg).iter("text")]
        assert "<b>fan" not in plot.svg

    def test_where_it_was_throttled_is_shaded(self) -> None:
        titles = [one.text for one in svg(recorded().plot().svg).iter("title")]
        assert "throttled: soft temperature limit" in titles

    def test_a_pause_breaks_a_line(self) -> None:
        whole = Trace(samples=[Sample(reading(at / 4, gpus=(), watts=None)) for at in range(40)])
        broken = Trace(
            samples=[Sample(reading(at / 4 + (60 if at > 20 else 0), gpus=(), watts=None)) for at in range(40)]
        )
        lines = [sum(1 for _ in svg(trace.plot().svg).iter("polyline")) for trace in (whole, broken)]
        assert lines[1] == 2 * lines[0]

    def test_hours_are_thinned(self) -> None:
        short = Trace(samples=[Sample(reading(at / 4)) for at in range(400)])
        long = Trace(samples=[Sample(reading(at / 4)) for at in range(20_000)])
        assert len(long.plot().svg) < 2 * len(short.plot().svg)
        assert sum(1 for _ in svg(long.plot().svg).iter("polyline")) == sum(
            1 for _ in svg(short.plot().svg).iter("polyline")
        )

    @pytest.mark.parametrize("count", [0, 1, 2])
    def test_a_recording_that_has_hardly_begun(self, count: int) -> None:
        trace = Trace(samples=[Sample(reading(float(at))) for at in range(count)])
        assert trace.plot().svg
        assert trace._repr_mimebundle_()["text/html"]

    def test_a_page_of_its_own(self, tmp_path: Path) -> None:
        page = recorded().plot().save(tmp_path / "trace.html").read_text(encoding="utf-8")
        assert page.startswith("<!doctype html>")
        assert "<script" not in page
        with pytest.raises(TraceFileError, match="cannot be written"):
            recorded().plot().save(tmp_path / "nowhere" / "trace.html")


def test_in_a_notebook_it_is_figures_and_a_picture() -> None:
    shown = recorded()._repr_mimebundle_()
    assert "Tiny Q4_0 on llama.cpp" in shown["text/plain"]
    assert "<table" in shown["text/html"]
    assert "<svg" in shown["text/html"]
    assert "<script" not in shown["text/html"]
    assert "Raspberry Pi 5" in shown["text/html"]
