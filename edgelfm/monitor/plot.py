"""A trace over time as SVG: strips below each other on one axis of time, in a picture that needs nothing else."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..atomic import write_atomically
from ..errors import NoDiskSpace, TraceFileError
from ..markup import bundle, element, escape, percent, picture
from ..units import MIB, format_bytes, format_seconds
from .events import Event
from .pressure import NOTABLE
from .reading import Reading
from .speed import speed_at
from .strips import GUTTER, HEAD, INK, STRIP, Line, Point, Strip, Time, axis, label, span, strip_parts
from .trace import Trace

_GAP = 12.0  # pixels between two strips
_MARKS, _RIBBON = 18.0, 10.0  # pixels: of the words of marks, of what the model does
_MOST_WORDS = 12  # marks that are named
_BLUE, _TEAL, _VIOLET, _ORANGE, _RED, _GREY = "#4686c8", "#17928a", "#9673d3", "#c9782f", "#d2574b", "#87949f"


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture of a trace. It shows itself in a notebook; `save` makes a page of it."""

    title: str
    svg: str
    words: str  # the same as plain text

    def save(self, path: str | Path) -> Path:
        """Write a page of HTML that needs nothing else. Raises `TraceFileError`, `NoDiskSpace`."""
        path = Path(path)
        page = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"/>'
            '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
            f"<title>{escape(self.title)}</title><style>:root {{ color-scheme: light dark }} "
            "body { font: 13px/1.5 system-ui, sans-serif; max-width: 1040px; margin: 24px auto; padding: 0 16px }"
            f"</style></head><body><h1>{escape(self.title)}</h1>{self.svg}</body></html>\n"
        )
        try:
            write_atomically(path, [page.encode("utf-8", "replace")])
        except NoDiskSpace:
            raise
        except OSError as error:
            raise TraceFileError(
                f"{path}: cannot be written: {error.strerror or error}", hint="name a file in a folder you may write to"
            ) from error
        return path

    def __repr__(self) -> str:
        return f"<Plot of {self.title}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return bundle(f"{self.title}\n{self.words}", self.svg)


def plot(trace: Trace) -> Plot:
    """Everything that was recorded, over time."""
    title = trace.about.subject or trace.about.machine or "this machine"
    return Plot(f"{title}, {format_seconds(trace.seconds)}", drawn(trace), str(trace.summary()))


def drawn(trace: Trace) -> str:
    """The picture."""
    readings, events, tokens = trace.readings, trace.events, trace.tokens
    end = max([*(one.at for one in readings), *(one.at for one in events)], default=0.0) or 1.0
    begin = readings[0].at if trace.dropped and readings else 0.0
    time = Time(begin, end, 3 / trace.about.hertz)
    strips = list(_strips(trace, readings, events, tokens))
    named = [event for event in events if event.kind == "mark"]
    y = _MARKS if named else 0.0
    height = y + _RIBBON + sum(HEAD + STRIP + _GAP for _ in strips)
    parts = [*_throttled(readings, time, y + _RIBBON, height), *_ribbon(events, tokens, time, y)]
    top = y + _RIBBON
    for strip in strips:
        parts += strip_parts(strip, time, top)
        top += HEAD + STRIP + _GAP
    parts += _marks(named, time, height)
    parts += axis(time, height)
    identity = f"elfm-trace-{zlib.crc32(repr((trace.about, end, len(readings))).encode()):08x}"
    said = "; ".join(f"{name}: {words}" for name, words in trace.summary().lines())
    drawing = picture(identity, f"Trace of {trace.about.subject or 'this machine'}", said, height + 20, parts)
    drawing = drawing.replace("<svg ", '<svg overflow="visible" ', 1)  # for the scales at its left
    return element("div", drawing + _legend(readings, events), style=f"padding: 10px 2px 0 {GUTTER}px")


def _strips(
    trace: Trace, readings: Sequence[Reading], events: Sequence[Event], tokens: Sequence[float]
) -> Iterator[Strip]:
    predicted = trace.about.predicted_bytes
    resident = _series(readings, lambda one: _in_mib(one.resident_bytes))
    if resident:
        lines = [Line(resident, _BLUE, filled=True, highest=True)]
        if predicted:
            lines.append(Line([(point[0], predicted / MIB) for point in resident], _ORANGE, dashed=True))
        note = f"predicted {format_bytes(predicted)}" if predicted else ""
        yield Strip("memory", "MiB", tuple(lines), note)
    if tokens:
        firsts = [event.at for event in events if event.kind == "first_token"]
        speeds = [(one.at, speed_at(one.at, tokens, firsts)) for one in readings]
        if any(speed is not None for _, speed in speeds):
            yield Strip("decode", "tokens/s", (Line(speeds, _TEAL),))
    cores = _series(readings, lambda one: one.cores)
    every = _series(readings, lambda one: sum(one.busy) if one.busy else None)
    if cores or every:
        note = "grey: all programs" if every and cores else ""
        yield Strip("cores kept busy", "", (Line(every, _GREY), Line(cores, _VIOLET)), note, least=1.0)
    if gpu := _series(readings, lambda one: _percent(one.gpus[0].busy) if one.gpus else None):
        yield Strip("GPU busy", "%", (Line(gpu, _TEAL),), least=100.0)
    if npu := _series(readings, lambda one: _percent(one.npu_busy)):
        yield Strip("NPU busy", "%", (Line(npu, _TEAL),), least=100.0)
    if heat := _series(readings, lambda one: one.celsius):
        yield Strip("temperature", "°C", (Line(heat, _RED),), from_zero=False)
    if watts := _series(readings, lambda one: one.watts):
        yield Strip("power", "W", (Line(watts, _ORANGE),), trace.about.power_source)
    pressure = _series(readings, lambda one: one.pressure_some)
    if any(value is not None and value >= NOTABLE for _, value in pressure):
        yield Strip("waiting for memory", "% of 10 s", (Line(pressure, _RED),))


def _ribbon(events: Sequence[Event], tokens: Sequence[float], time: Time, y: float) -> Iterator[str]:
    """What the model does: prefill and decode of every reply."""
    begun: float | None = None
    for event in events:
        if event.kind == "prefill":
            begun = event.at
        elif event.kind in ("prefilled", "reply"):
            length = event.seconds or 0.0
            start = begun if event.kind == "prefilled" and begun is not None else event.at - length
            colour, words = (_ORANGE, "prefill") if event.kind == "prefilled" else (_TEAL, "reply")
            if event.tokens:
                yield span(start, event.at, time, y, 6.0, colour, f"{words}, {event.tokens} tokens")
    if not events and tokens:
        yield span(tokens[0], tokens[-1], time, y, 6.0, _TEAL, "tokens")


def _throttled(readings: Sequence[Reading], time: Time, top: float, bottom: float) -> Iterator[str]:
    """Bands where something slowed the machine down."""
    start: Reading | None = None
    for one in [*readings, None]:
        held = one is not None and bool(one.throttled)
        if held and start is None:
            start = one
        elif not held and start is not None:
            end = one.at if one is not None else time.end
            x = time.share(start.at)
            title = element("title", escape(f"throttled: {', '.join(start.throttled or ())}"))
            yield element(
                "rect", title, x=percent(x), y=top, width=percent(max(0.002, time.share(end) - x)),
                height=bottom - top, fill=_RED, fill_opacity=0.14,
            )  # fmt: skip
            start = None


def _legend(readings: Sequence[Reading], events: Sequence[Event]) -> str:
    """What the colours that have no name of their own stand for."""
    kinds = {event.kind for event in events}
    known = [(_ORANGE, "prefill")] if "prefilled" in kinds else []
    known += [(_TEAL, "reply")] if "reply" in kinds else []
    known += [(_RED, "throttled")] if any(one.throttled for one in readings) else []
    keys = (f"{element('span', '■', style=f'color: {colour}')} {escape(words)}" for colour, words in known)
    return element("small", "  ".join(keys)) if known else ""


def _marks(events: Sequence[Event], time: Time, bottom: float) -> Iterator[str]:
    for event in events:
        x = time.share(event.at)
        line = element(
            "line", element("title", escape(event.note or "mark")), x1=percent(x), x2=percent(x), y1=12, y2=bottom,
            stroke=INK, stroke_opacity=0.6, stroke_dasharray="2 3",
        )  # fmt: skip
        yield line
        if len(events) <= _MOST_WORDS:
            words = event.note if len(event.note) <= 24 else f"{event.note[:23].rstrip()}…"
            yield label(words, percent(x), 9, "start" if x < 0.05 else "end" if x > 0.95 else "middle")


def _series(readings: Sequence[Reading], value: Callable[[Reading], float | None]) -> list[Point]:
    """Seconds and values, empty where none is known."""
    points = [(one.at, value(one)) for one in readings]
    return points if any(known is not None for _, known in points) else []


def _in_mib(count: int | None) -> float | None:
    return None if count is None else count / MIB


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
