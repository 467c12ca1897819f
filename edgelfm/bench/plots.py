"""Plots of a report as SVG: bars with every single sample on them, and the line of a sustained run.

Colours come from the page: elements carry classes, and the style sheet of the card says what they look like.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..markup import element, number, percent, picture, text, ticks
from ..units import format_seconds
from .figures import Figure, Key, scale
from .report import Slice

_ROW, _BAR, _TOP = 52.0, 13.0, 22.0  # pixels: of a row, of its bar, from the top of the row to the bar
_AXIS = 40.0  # pixels below the bars
_DOTS = 6.0  # pixels from a bar down to the dots of its samples
_LANES = (0.0, 2.5, -2.5)  # pixels by which dots lie apart, so that equal samples stay visible
_NAME = 30  # characters of a name that fit beside a value on a phone
_SPEED, _HEAT, _GAP = 128.0, 76.0, 26.0  # pixels: height of the speed, of the temperature, between them
_WORDS = {
    "tokens/s": "tokens per second",
    "s": "seconds",
    "ms": "milliseconds",
    "mJ": "mJ per token",
    "J": "J per token",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One subject in a plot."""

    name: str
    figure: Figure
    look: str  # class of the bar: ours, peer or care
    leads: bool


def top(figures: Sequence[Figure]) -> float:
    """How far an axis must reach to show every sample of all of them, in the unit of the samples."""
    return max((max(one.samples.high, _reach(one)[1]) for one in figures), default=0.0)


def bars(identity: str, title: str, key: Key, rows: Sequence[Bar], highest: float) -> str:
    """Bars to the median, whiskers of one standard deviation, a dot for each sample. The axis begins at zero."""
    factor, _, suffix = scale(highest, key.unit)
    marks = ticks(0.0, highest / factor if highest > 0 else 1.0)
    end = marks[-1] * factor
    bottom = len(rows) * _ROW
    parts = []
    for place, mark in enumerate(marks):
        x = percent(place / (len(marks) - 1))
        anchor = "start" if place == 0 else "end" if place == len(marks) - 1 else "middle"
        parts.append(text(f"{mark:,.10g}", x, bottom + 10, "tick", anchor))
        look = "grid" if place else "axis"
        for y in (_TOP + _ROW * row for row in range(len(rows))):  # beside the bars only, so that no name is crossed
            parts.append(element("line", x1=x, x2=x, y1=y - 3, y2=y + _BAR + 2 * _DOTS, class_=look))
    unit = suffix.strip() or key.unit
    parts.append(text(_WORDS.get(unit, unit), "50%", bottom + 27, "unit", "middle"))
    for place, row in enumerate(rows):
        parts.append(_bar(row, place * _ROW, end))
    unit = "tokens per second" if key.unit == "tokens/s" else ""
    said = "; ".join(f"{row.name}: {row.figure.text} {unit}".strip() for row in rows)
    return picture(identity, title, said, bottom + _AXIS, parts)


def _bar(row: Bar, y: float, end: float) -> str:
    samples, middle = row.figure.samples, y + _TOP + _BAR / 2
    weight = "value best" if row.leads else "value"
    parts = [
        text(shortened(row.name), "0", y + 14, "name"),
        text(row.figure.text, "100%", y + 14, weight, "end"),
        element(
            "rect", x=0, y=y + _TOP, width=percent(max(0.0, samples.median / end)), height=_BAR, rx=2, class_=row.look
        ),
    ]
    if samples.count > 1:
        low, high = (percent(min(1.0, value / end)) for value in _reach(row.figure))
        parts.append(element("line", x1=low, x2=high, y1=middle, y2=middle, class_="whisker"))
        parts += [element("line", x1=x, x2=x, y1=middle - 4, y2=middle + 4, class_="whisker") for x in (low, high)]
        for place, value in enumerate(samples.values):
            lane = _LANES[place % len(_LANES)]
            parts.append(
                element("circle", cx=percent(value / end), cy=y + _TOP + _BAR + _DOTS + lane, r=2.2, class_="dot")
            )
    return element("g", "".join(parts))


def _reach(figure: Figure) -> tuple[float, float]:
    """One standard deviation around the mean, not below zero."""
    spread = figure.samples.deviation or 0.0
    return max(0.0, figure.samples.mean - spread), figure.samples.mean + spread


def shortened(name: str) -> str:
    """A long name without its middle. The tables have it whole."""
    if len(name) <= _NAME:
        return name
    return f"{name[: _NAME // 2 - 1].rstrip()} … {name[1 - _NAME // 2 :].lstrip()}"


def sustained(identity: str, title: str, slices: Sequence[Slice]) -> str:
    """Speed over time from zero, temperature below it where it was read, bands where the processor was throttled."""
    slices = [one for one in slices if one.seconds > 0]
    end = slices[-1].at_seconds + slices[-1].seconds
    speeds = [(one.at_seconds + one.seconds / 2, one.tokens / one.seconds) for one in slices]
    heats = [(one.at_seconds + one.seconds / 2, one.celsius) for one in slices if one.celsius is not None]
    height = _SPEED + (_GAP + _HEAT if heats else 0.0)
    parts = [_band(one, end, height) for one in slices if one.throttled]
    throttled = next((one.at_seconds for one in slices if one.throttled), None)
    if throttled is not None:
        late = throttled > end / 2
        x = percent(1.0 if late else throttled / end)
        parts.append(text("throttled", x, _SPEED - 6, "band-name", "end" if late else "start"))
    parts += _strip(speeds, end, 0.0, _SPEED, ticks(0.0, max(value for _, value in speeds), 3), "tokens/s", "speed")
    if heats:
        span = [value for _, value in heats]
        marks = ticks(min(span), max(max(span), min(span) + 2), 2)
        parts += _strip(heats, end, _SPEED + _GAP, _HEAT, marks, "°C", "heat")
    minutes = end >= 120
    marks = [
        mark for mark in ticks(0.0, end / 60 if minutes else end, 5) if mark <= (end / 60 if minutes else end) * 1.001
    ]
    for mark in marks:
        share = mark * (60 if minutes else 1) / end
        anchor = "start" if mark == 0 else "end" if share > 0.97 else "middle"
        parts.append(text(f"{mark:g}", percent(share), height + 16, "tick", anchor))
    parts.append(text("minutes" if minutes else "seconds", "50%", height + 33, "unit", "middle"))
    said = f"{format_seconds(end)} long, from {speeds[0][1]:.0f} to {speeds[-1][1]:.0f} tokens per second"
    said += f", at most {max(value for _, value in heats):.0f} °C" if heats else ""
    said += f", throttled from {format_seconds(throttled)} on" if throttled is not None else ""
    return picture(identity, title, said, height + 40, parts)


def _band(one: Slice, end: float, height: float) -> str:
    # A hair wider than the slice, so that neighbours leave no seam.
    return element(
        "rect",
        x=percent(one.at_seconds / end),
        y=0,
        width=percent(one.seconds / end + 0.0005),
        height=height,
        class_="band",
    )


def _strip(
    points: Sequence[tuple[float, float]],
    end: float,
    y: float,
    height: float,
    marks: Sequence[float],
    unit: str,
    look: str,
) -> list[str]:
    """One line with its own scale. Labels stand on their grid lines, so they need no room at the side."""
    low, high = marks[0], marks[-1]
    parts = []
    for place, mark in enumerate(marks):
        level = y + height - (mark - low) / (high - low) * (height - 14)
        parts.append(element("line", x1="0", x2="100%", y1=level, y2=level, class_="axis" if place == 0 else "grid"))
        if place:
            label = f"{mark:,.10g} {unit}" if place == len(marks) - 1 else f"{mark:,.10g}"
            parts.append(text(label, "0", level - 3, "tick"))
    path = " ".join(
        f"{number(at / end * 1000)},{number(100 - (value - low) / (high - low) * 100)}" for at, value in points
    )
    line = element("polyline", points=path, class_=look, vector_effect="non-scaling-stroke")
    if len(points) == 1:
        line = element("circle", cx=500, cy=number(100 - (points[0][1] - low) / (high - low) * 100), r=4, class_="dot")
    parts.append(
        element(
            "svg", line, x="0", y=y + 14, width="100%", height=height - 14, viewBox="0 0 1000 100",
            preserveAspectRatio="none", overflow="visible",
        )
    )  # fmt: skip
    return parts
