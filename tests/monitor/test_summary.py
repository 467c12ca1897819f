"""The figures that a recording comes down to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgelfm.monitor.events import Event
from edgelfm.monitor.reading import Reading, Sample
from edgelfm.monitor.trace import Trace
from tests.monitor.traces import ABOUT, MIB, reading, recorded


def test_memory_speed_heat_and_energy() -> None:
    summary = recorded().summary()
    assert summary.seconds == 10.0
    assert summary.peak_bytes == 130 * MIB
    assert summary.predicted_bytes == 100 * MIB
    assert (summary.replies, summary.tokens) == (2, 42)
    assert summary.decode_tokens_per_second == pytest.approx(10, rel=0.01)
    assert summary.prefill_tokens_per_second == 50
    assert summary.first_token_seconds == (1.1, 1.1)
    assert summary.celsius == 70
    assert (summary.throttled, summary.throttle_reasons) == (True, ("soft temperature limit",))
    assert summary.joules == 80
    # Six of the ten seconds were spent on replies, from their prefill on, at 8 W.
    assert summary.tokens_per_joule == pytest.approx(42 / 48)


def test_it_prints_as_lines_that_a_person_can_read() -> None:
    text = str(recorded().summary())
    assert "130% of the predicted 100 MiB" in text
    assert "10.0 tokens/s, 42 tokens in 2 replies" in text
    assert "yes: soft temperature limit" in text
    assert "8.0 W on average, 80.0 J (battery)" in text


def test_the_peak_is_what_the_kernel_kept_if_it_grew_meanwhile() -> None:
    """Samples miss what lies between them."""
    grown = [reading(0, resident_bytes=50, peak_bytes=60), reading(1, resident_bytes=55, peak_bytes=90)]
    assert Trace(ABOUT, [Sample(one) for one in grown]).summary().peak_bytes == 90
    old = [reading(0, resident_bytes=50, peak_bytes=90), reading(1, resident_bytes=55, peak_bytes=90)]
    summary = Trace(ABOUT, [Sample(one) for one in old]).summary()
    assert (summary.peak_bytes, summary.process_peak_bytes) == (55, 90)


def test_what_nobody_told_is_not_zero() -> None:
    summary = Trace(samples=[Sample(Reading(0.0)), Sample(Reading(1.0))]).summary()
    assert summary.peak_bytes is None
    assert summary.decode_tokens_per_second is None
    assert summary.throttled is None
    assert summary.joules is None
    assert str(summary) == "recorded  1.0 s, 2 readings"


def test_an_empty_trace() -> None:
    assert str(Trace().summary()) == "recorded  0 ms, 0 readings"


def test_not_throttled_is_told_where_it_is_known() -> None:
    summary = Trace(ABOUT, [Sample(reading(0)), Sample(reading(1))]).summary()
    assert summary.throttled is False
    assert "throttled" in str(summary)


def test_a_long_decode_tells_what_heat_left_of_it() -> None:
    trace = Trace(ABOUT)
    tokens = [*(place / 10 for place in range(150)), *(15 + place / 5 for place in range(75))]
    trace.add(Sample(reading(30.0), (Event(0.0, "first_token", seconds=0.1),), tuple(tokens)))
    summary = trace.summary()
    assert summary.decode_tokens_per_second == pytest.approx(224 / 29.8, rel=0.01)
    assert summary.sustained_tokens_per_second == pytest.approx(5, rel=0.02)
    assert "5.0 in the latter half" in str(summary)


def test_a_reply_that_was_not_over_counts_with_what_it_took_so_far() -> None:
    trace = Trace(ABOUT)
    trace.add(Sample(reading(0.0)))
    trace.add(Sample(reading(2.0), (Event(1.0, "prefill", tokens=5), Event(1.5, "first_token")), (1.5, 1.75, 2.0)))
    summary = trace.summary()
    assert summary.decode_tokens_per_second == pytest.approx(4)
    assert summary.tokens_per_joule == pytest.approx(3 / 8)


def test_a_recording_without_a_prediction() -> None:
    trace = Trace(replace(ABOUT, predicted=()), [Sample(reading(0)), Sample(reading(1))])
    assert trace.summary().predicted_bytes is None
    assert "predicted" not in str(trace.summary())
