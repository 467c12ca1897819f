"""A trace in a notebook: its figures as a table, and the picture of it."""

from __future__ import annotations

from collections.abc import Iterator

from ..markup import bundle, escape, facts, folded, heading, small
from ..units import format_bytes
from .plot import drawn
from .reading import Reading
from .trace import About, Trace


def trace_bundle(trace: Trace) -> dict[str, str]:
    """What was recorded, its figures, and their course."""
    about, summary = trace.about, trace.summary()
    title = about.subject or "This machine"
    facts_ = facts((name, escape(words)) for name, words in summary.lines())
    parts = [heading(title, about.machine), facts_, drawn(trace) if len(trace) else "", _events(trace), _origin(trace)]
    return bundle(f"{title}\n{summary}", *parts)


def reading_bundle(trace: Trace) -> dict[str, str]:
    """The latest reading of a trace, for where a live view cannot be."""
    title = f"Monitor of {trace.about.subject or 'this machine'}"
    readings = trace.readings
    rows = list(_now(readings[-1], trace.about)) if readings else [("read", "nothing yet")]
    text = "\n".join([title, *(f"{name}: {words}" for name, words in rows)])
    return bundle(text, heading(title, trace.about.machine), facts((name, escape(words)) for name, words in rows))


def _now(one: Reading, about: About) -> Iterator[tuple[str, str]]:
    if one.resident_bytes is not None:
        predicted = about.predicted_bytes
        beside = f", predicted peak {format_bytes(predicted)}" if predicted else ""
        yield "memory", f"{format_bytes(one.resident_bytes)} resident{beside}"
    if about.held:
        yield "held by the model", ", ".join(f"{part.name} {format_bytes(part.bytes)}" for part in about.held)
    if one.available_bytes is not None:
        yield "available", format_bytes(one.available_bytes)
    if one.mean_busy is not None:
        yield "cores", f"{one.mean_busy:.0%} busy"
    if one.celsius is not None:
        held = f", slowed down by {', '.join(one.throttled)}" if one.throttled else ""
        yield "temperature", f"{one.celsius:.0f} °C{held}"
    if one.watts is not None:
        yield "power", f"{one.watts:.1f} W"


def _events(trace: Trace) -> str:
    """Marks, which somebody thought worth it."""
    marks = [event for event in trace.events if event.kind == "mark"]
    if not marks:
        return ""
    title = "1 mark" if len(marks) == 1 else f"{len(marks)} marks"
    return folded(title, facts((f"{event.at:.1f} s", escape(event.note) or "mark") for event in marks))


def _origin(trace: Trace) -> str:
    where = str(trace.path) if trace.path is not None else ""
    gone = f"the first {trace.dropped:,} readings are only in the file" if trace.dropped else ""
    return small("; ".join(filter(None, (trace.about.started.replace("T", " "), where, gone))))
