"""The pieces of a picture over time: a strip with its lines and scale, spans, words, and the axis that all share.

Knows nothing of what is shown. Colours are of a medium tone and text takes that of the page, so that it reads on white
and on black alike; they stand in the elements themselves, for some places that show notebooks take style sheets away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..markup import element, escape, number, percent, ticks

Point = tuple[float, float | None]

STRIP, HEAD = 74.0, 20.0  # pixels: height of a strip, of the words above it
GUTTER = 40  # pixels that a picture needs at its left, for the scales
_MOST_POINTS = 480  # of a line
INK = "currentColor"


@dataclass(frozen=True, slots=True)
class Line:
    """One series. `points` are seconds and values, None where there is nothing to see."""

    points: Sequence[Point]
    colour: str
    filled: bool = False
    dashed: bool = False
    highest: bool = False  # of points that fall together, the highest counts and not the mean


@dataclass(frozen=True, slots=True)
class Strip:
    """One plot of the picture."""

    name: str
    unit: str
    lines: tuple[Line, ...]
    note: str = ""  # at the right, above it
    least: float = 0.0  # the axis reaches at least so high
    from_zero: bool = True


@dataclass(frozen=True, slots=True)
class Time:
    """The axis that all strips share."""

    begin: float
    end: float
    gap: float  # seconds without a reading from which on a line is broken

    def share(self, at: float) -> float:
        """Where on the axis a moment lies, 0 to 1."""
        return min(1.0, max(0.0, (at - self.begin) / (self.end - self.begin))) if self.end > self.begin else 0.0


def strip_parts(strip: Strip, time: Time, top: float) -> Iterator[str]:
    """Name, scale and lines of a strip whose upper edge is at `top` pixels."""
    values = [value for line in strip.lines for _, value in line.points if value is not None]
    low, high = (0.0 if strip.from_zero else min(values)), max([strip.least, *values])
    marks = ticks(low, max(high, low + (0.1 if strip.from_zero else 4.0)), 2)
    low, high = marks[0], marks[-1]
    y, unit = top + HEAD, f", {strip.unit}" if strip.unit else ""
    yield element("text", escape(f"{strip.name}{unit}"), x="0", y=top + 13, fill=INK, font_size=12)
    if strip.note:
        yield label(strip.note, "100%", top + 13, "end")
    for place, mark in enumerate(marks):
        level = y + STRIP - (mark - low) / (high - low) * STRIP
        yield rule(level, 0.35 if place == 0 else 0.12)
        if place:
            yield label(f"{mark:,.10g}", "-6", level + 4, "end")  # beside the picture, which leaves room for it
    inner = "".join(_drawn(line, time, low, high) for line in strip.lines)
    yield element(
        "svg", inner, x="0", y=y, width="100%", height=STRIP, viewBox="0 0 1000 100", preserveAspectRatio="none",
        overflow="visible",
    )  # fmt: skip


def _drawn(line: Line, time: Time, low: float, high: float) -> str:
    """Every unbroken piece of a line."""
    made = []
    size = max(1, -(-len(line.points) // _MOST_POINTS))  # no more points than can be seen
    for piece in _pieces(_thinned(line.points, size, line.highest), time.gap * size):
        at = [(1000 * time.share(x), 100 - (value - low) / (high - low) * 100) for x, value in piece]
        path = " ".join(f"{number(x)},{number(y)}" for x, y in at)
        if line.filled and len(at) > 1:
            corners = f"{number(at[0][0])},100 {path} {number(at[-1][0])},100"
            made.append(element("polygon", points=corners, fill=line.colour, fill_opacity=0.18, stroke="none"))
        if len(at) == 1:  # a line of no length with round ends is a dot, however the picture is stretched
            path = f"{path} {path}"
        dashes = {"stroke_dasharray": "5 4"} if line.dashed else {}
        made.append(
            element(
                "polyline", points=path, fill="none", stroke=line.colour, stroke_width=1.75, stroke_linejoin="round",
                stroke_linecap="round", vector_effect="non-scaling-stroke", **dashes,
            )
        )  # fmt: skip
    return "".join(made)


def _pieces(points: Iterable[Point], gap: float) -> Iterator[list[tuple[float, float]]]:
    """Points that belong together: neither a missing value nor a pause between them."""
    piece: list[tuple[float, float]] = []
    for at, value in points:
        if piece and (value is None or at - piece[-1][0] > gap):
            yield piece
            piece = []
        if value is not None:
            piece.append((at, value))
    if piece:
        yield piece


def _thinned(points: Sequence[Point], size: int, highest: bool) -> Sequence[Point]:
    """One point for each `size` of them: their mean, or the highest."""
    if size == 1:
        return points
    thin: list[Point] = []
    for start in range(0, len(points), size):
        part = points[start : start + size]
        known = [value for _, value in part if value is not None]
        value = None if not known else max(known) if highest else sum(known) / len(known)
        thin.append((part[len(part) // 2][0], value))
    return thin


def span(start: float, end: float, time: Time, y: float, height: float, colour: str, words: str) -> str:
    """A bar along the time from `start` to `end`. `words` appear where the mouse rests on it."""
    x, width = time.share(start), max(0.002, time.share(end) - time.share(start))
    title = element("title", escape(words))
    return element("rect", title, x=percent(x), y=y, width=percent(width), height=height, rx=1, fill=colour)


def axis(time: Time, y: float) -> Iterator[str]:
    """Words below all strips: seconds, minutes or hours."""
    length = time.end - time.begin
    unit, name = (3600.0, "h") if length >= 7200 else (60.0, "min") if length >= 180 else (1.0, "s")
    shown = [mark for mark in ticks(time.begin / unit, time.end / unit, 5) if time.begin <= mark * unit <= time.end]
    for mark in shown:
        x = time.share(mark * unit)
        yield label(
            f"{mark:,.10g} {name}", percent(x), y + 14, "start" if x < 0.02 else "end" if x > 0.97 else "middle"
        )


def label(words: str, x: str, y: float, anchor: str = "start") -> str:
    """Small words. `anchor` is start, middle or end."""
    return element("text", escape(words), x=x, y=y, text_anchor=anchor, fill=INK, fill_opacity=0.68, font_size=11)


def rule(y: float, opacity: float) -> str:
    """A line across the whole width."""
    return element("line", x1="0", x2="100%", y1=y, y2=y, stroke=INK, stroke_opacity=opacity)
