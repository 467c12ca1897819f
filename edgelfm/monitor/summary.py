"""What a trace comes down to: peaks, means, speeds, energy. What was not recorded is None, never zero."""

from __future__ import annotations

import bisect
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..units import format_bytes, format_seconds
from .events import Event
from .reading import Reading
from .speed import latter_half, mean_speed, stretches
from .trace import Trace

_N = TypeVar("_N", int, float)
_LONG = 20.0  # seconds of decode from which on its latter half shows what heat has left of it


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of one trace. Bytes, seconds, tokens per second, joules."""

    seconds: float
    readings: int
    # Memory
    peak_bytes: int | None  # highest resident memory of this process while it was recorded
    mean_bytes: int | None
    process_peak_bytes: int | None  # highest since the process began, as `/usr/bin/time -v` tells it at the end
    predicted_bytes: int | None
    swapped_bytes: int | None  # the most of this process that was swapped out
    least_available_bytes: int | None  # what was left when it was least
    pressure: float | None  # highest percent of ten seconds in which some task waited for memory
    # Speed
    replies: int
    tokens: int
    decode_tokens_per_second: float | None  # after the first token, all replies together
    sustained_tokens_per_second: float | None  # in the latter half of the decode, None if that was short
    prefill_tokens: int
    prefill_tokens_per_second: float | None
    first_token_seconds: tuple[float, ...]  # of each reply
    # Machine
    mean_cores: float | None  # cores that this process kept busy
    celsius: float | None  # at the hottest
    throttled: bool | None
    throttle_reasons: tuple[str, ...]
    watts: float | None  # mean
    joules: float | None  # of the whole recording
    tokens_per_joule: float | None  # while replies were made
    power_source: str

    def lines(self) -> list[tuple[str, str]]:
        """Names and figures for people. What is not known has no line."""
        return [(name, text) for name, text in _lines(self) if text]

    def __str__(self) -> str:
        lines = self.lines()
        width = max(len(name) for name, _ in lines)
        return "\n".join(f"{name:<{width}}  {text}" for name, text in lines)


def summarise(trace: Trace) -> Summary:
    """The figures of what is in memory of `trace`."""
    readings, events, tokens = trace.readings, trace.events, trace.tokens
    parts = stretches(tokens, _moments(events, "first_token"))
    long = sum(part[-1] - part[0] for part in parts) >= _LONG
    prefills = [event for event in events if event.kind == "prefilled" and event.tokens and event.seconds]
    prefill_tokens = sum(event.tokens or 0 for event in prefills)
    prefill_seconds = sum(event.seconds or 0.0 for event in prefills)
    told = [reading.throttled for reading in readings if reading.throttled is not None]
    spent = _joules_of_replies(readings, events)
    return Summary(
        seconds=trace.seconds,
        readings=len(readings),
        peak_bytes=_peak(readings),
        mean_bytes=_whole(_mean(one.resident_bytes for one in readings)),
        process_peak_bytes=_most(one.peak_bytes for one in readings),
        predicted_bytes=trace.about.predicted_bytes,
        swapped_bytes=_most(one.swapped_bytes for one in readings),
        least_available_bytes=_least(one.available_bytes for one in readings),
        pressure=_most(one.pressure_some for one in readings),
        replies=len(parts),
        tokens=len(tokens),
        decode_tokens_per_second=mean_speed(parts),
        sustained_tokens_per_second=mean_speed(latter_half(parts)) if long else None,
        prefill_tokens=prefill_tokens,
        prefill_tokens_per_second=prefill_tokens / prefill_seconds if prefill_seconds > 0 else None,
        first_token_seconds=tuple(
            event.seconds for event in events if event.kind == "first_token" and event.seconds is not None
        ),
        mean_cores=_mean(one.cores for one in readings),
        celsius=_most(one.celsius for one in readings),
        throttled=any(told) if told else None,
        throttle_reasons=tuple(sorted({reason for reasons in told for reason in reasons})),
        watts=_mean(one.watts for one in readings),
        joules=_joules(readings),
        tokens_per_joule=len(tokens) / spent if spent and tokens else None,
        power_source=trace.about.power_source,
    )


def _peak(readings: Sequence[Reading]) -> int | None:
    """What the kernel kept as the peak if it grew meanwhile: samples miss what lies between them."""
    sampled = _most(one.resident_bytes for one in readings)
    kept = [one.peak_bytes for one in readings if one.peak_bytes is not None]
    return max(kept[-1], sampled or 0) if kept and kept[-1] > kept[0] else sampled


def _joules(readings: Sequence[Reading]) -> float | None:
    known = [one.joules for one in readings if one.joules is not None]
    return known[-1] - known[0] if len(known) > 1 else None


def _joules_of_replies(readings: Sequence[Reading], events: Sequence[Event]) -> float | None:
    """Energy from the beginning of each prefill to the end of its reply."""
    known = [(one.at, one.joules) for one in readings if one.joules is not None]
    if len(known) < 2:
        return None
    begun, spent = _moments(events, "prefill"), 0.0
    for begin in begun:
        end = next((one.at for one in events if one.kind == "reply" and one.at >= begin), known[-1][0])
        spent += _joules_at(end, known) - _joules_at(begin, known)
    return spent if begun else None


def _joules_at(at: float, known: Sequence[tuple[float, float]]) -> float:
    """Between two readings, in proportion to the time."""
    place = bisect.bisect_left(known, (at, 0.0))
    if place in (0, len(known)):
        return known[min(place, len(known) - 1)][1]
    (before, low), (after, high) = known[place - 1], known[place]
    return low + (high - low) * (at - before) / (after - before)


def _moments(events: Iterable[Event], kind: str) -> list[float]:
    return [event.at for event in events if event.kind == kind]


def _most(values: Iterable[_N | None]) -> _N | None:
    return max((value for value in values if value is not None), default=None)


def _least(values: Iterable[_N | None]) -> _N | None:
    return min((value for value in values if value is not None), default=None)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _lines(one: Summary) -> Iterable[tuple[str, str]]:
    yield "recorded", f"{format_seconds(one.seconds)}, {one.readings:,} readings"
    yield "peak memory", _peak_words(one)
    yield "mean memory", _bytes(one.mean_bytes)
    yield "swapped out", _bytes(one.swapped_bytes) if one.swapped_bytes else ""
    yield "least available", _bytes(one.least_available_bytes)
    yield "memory pressure", f"{one.pressure:g} % of ten seconds at most" if one.pressure else ""
    yield "decode", _decode_words(one)
    if one.prefill_tokens_per_second is not None:
        yield "prefill", f"{one.prefill_tokens_per_second:,.0f} tokens/s, {one.prefill_tokens:,} tokens evaluated"
    yield "first token", _first_words(one.first_token_seconds)
    yield "cores", f"{one.mean_cores:.2f} kept busy on average" if one.mean_cores is not None else ""
    yield "temperature", f"{one.celsius:.0f} °C at most" if one.celsius is not None else ""
    reasons = f": {', '.join(one.throttle_reasons)}" if one.throttle_reasons else ""
    yield "throttled", {True: f"yes{reasons}", False: "no", None: ""}[one.throttled]
    yield "power", _power_words(one)
    if one.tokens_per_joule is not None:
        yield "efficiency", f"{one.tokens_per_joule:.2f} tokens per joule while replies were made"


def _peak_words(one: Summary) -> str:
    if one.peak_bytes is None:
        return ""
    text = format_bytes(one.peak_bytes)
    if one.predicted_bytes:
        text += f", {one.peak_bytes / one.predicted_bytes:.0%} of the predicted {format_bytes(one.predicted_bytes)}"
    if one.process_peak_bytes is not None and one.process_peak_bytes > 1.02 * one.peak_bytes:
        text += f"; {format_bytes(one.process_peak_bytes)} before the recording"
    return text


def _decode_words(one: Summary) -> str:
    if one.decode_tokens_per_second is None:
        return f"{one.tokens:,} tokens" if one.tokens else ""
    replies = "1 reply" if one.replies == 1 else f"{one.replies:,} replies"
    text = f"{one.decode_tokens_per_second:.1f} tokens/s, {one.tokens:,} tokens in {replies}"
    if one.sustained_tokens_per_second is not None:
        text += f"; {one.sustained_tokens_per_second:.1f} in the latter half"
    return text


def _first_words(seconds: Sequence[float]) -> str:
    if not seconds:
        return ""
    if len(seconds) == 1:
        return f"after {format_seconds(seconds[0])}"
    low, high = format_seconds(min(seconds)), format_seconds(max(seconds))
    return f"after {format_seconds(statistics.median(seconds))} (median, from {low} to {high})"


def _power_words(one: Summary) -> str:
    if one.watts is None:
        return ""
    energy = f", {one.joules:,.1f} J" if one.joules is not None else ""
    return f"{one.watts:.1f} W on average{energy}" + (f" ({one.power_source})" if one.power_source else "")


def _bytes(count: int | None) -> str:
    return "" if count is None else format_bytes(count)
