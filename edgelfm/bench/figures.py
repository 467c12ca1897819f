"""Which figures a report holds: one for each thing that was measured, with its unit, its samples, and which is best.

The table, the Markdown, the card and the comparison all read these, so they say the same. Rates are derived here from
the stored times; nothing is rounded except in `write` and `write_spread`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ..units import GIB, MIB
from .report import BenchReport, Kind, Result
from .statistics import Summary, joules_per_token, rates, seconds

FigureKind = Literal[Kind, "memory", "energy"]
Unit = Literal["tokens/s", "s", "bytes", "J/token"]

#: In the order in which people look for them.
_ORDER: tuple[FigureKind, ...] = (
    "prefill", "decode", "sustained", "first_token_cold", "first_token_warm", "first_token_after_edit",
    "load", "memory", "energy",
)  # fmt: skip
_NAMES: dict[FigureKind, str] = {
    "prefill": "prefill",
    "decode": "decode",
    "sustained": "sustained decode",
    "first_token_cold": "first token, cold",
    "first_token_warm": "first token, warm",
    "first_token_after_edit": "first token, after edit",
    "load": "load",
    "memory": "peak memory",
    "energy": "energy",
}
_UNITS: dict[FigureKind, Unit] = {
    "prefill": "tokens/s",
    "decode": "tokens/s",
    "sustained": "tokens/s",
    "memory": "bytes",
    "energy": "J/token",
}


class Key(NamedTuple):
    """What makes two figures the same thing, measured twice. `tokens` and `depth` as in `Series`."""

    kind: FigureKind
    tokens: int
    depth: int

    @property
    def unit(self) -> Unit:
        """Of the samples."""
        return _UNITS.get(self.kind, "s")

    @property
    def higher_is_better(self) -> bool:
        """True of speeds, False of times, memory and energy."""
        return self.unit == "tokens/s"

    @property
    def name(self) -> str:
        """`decode`, `first token, cold`."""
        return _NAMES[self.kind]

    @property
    def detail(self) -> str:
        """How many tokens, and after how many: `100 tokens after 512`. Empty for a load and memory."""
        if not self.tokens:
            return ""
        after = f" after {self.depth:,}" if self.depth else ""
        return f"{self.tokens:,} tokens{after}"

    @property
    def label(self) -> str:
        """Name and detail: `decode, 100 tokens after 512`."""
        return ", ".join(filter(None, (self.name, self.detail)))


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured of one subject: as many samples as repetitions."""

    key: Key
    samples: Summary  # in `key.unit`

    @property
    def text(self) -> str:
        """The median and the sample standard deviation: `125 ± 3`, `85 ± 4 ms`. The unit of speeds is left out."""
        return write_spread(self.samples, self.key.unit)


def figures(result: Result) -> dict[Key, Figure]:
    """The figures of `result`, in the order of `keys`. Series without repetitions give none."""
    found: dict[Key, list[float]] = {}
    for series in result.series:
        key = Key(series.kind, series.tokens, series.depth)
        samples = rates(series) if key.unit == "tokens/s" else seconds(series)
        found.setdefault(key, []).extend(samples.values if samples else ())
        energy = joules_per_token(series) if series.kind == "decode" else None
        found.setdefault(Key("energy", series.tokens, series.depth), []).extend(energy.values if energy else ())
    if result.peak_memory_bytes is not None:
        found[Key("memory", 0, 0)] = [float(result.peak_memory_bytes)]
    return {key: Figure(key, Summary(tuple(found[key]))) for key in sorted(found, key=_place) if found[key]}


def keys(report: BenchReport) -> tuple[Key, ...]:
    """Everything that was measured of any subject, in the order of the tables."""
    return tuple(sorted({key for result in report.results for key in figures(result)}, key=_place))


def _place(key: Key) -> tuple[int, int, int]:
    return _ORDER.index(key.kind), key.depth, key.tokens


def best(row: Sequence[Figure | None]) -> frozenset[int]:
    """Places in `row` of the best median, and of those whose samples overlap with its samples: they are level.

    Empty unless at least two can be compared.
    """
    present = [(place, figure) for place, figure in enumerate(row) if figure is not None]
    if len(present) < 2:
        return frozenset()
    choose = max if present[0][1].key.higher_is_better else min
    leader = choose((figure for _, figure in present), key=lambda figure: figure.samples.median).samples
    return frozenset(
        place for place, figure in present if figure.samples.low <= leader.high and figure.samples.high >= leader.low
    )


def write(value: float, unit: Unit) -> str:
    """One value for people: `125`, `85 ms`, `212 MiB`, `0.42 J`. The unit of speeds is left out."""
    factor, decimals, suffix = scale(value, unit)
    return f"{value / factor:,.{decimals}f}{suffix}"


def write_spread(samples: Summary, unit: Unit) -> str:
    """The median and the sample standard deviation, if there is one, in the same unit and with the same decimals."""
    factor, decimals, suffix = scale(samples.median, unit)
    middle = f"{samples.median / factor:,.{decimals}f}"
    if samples.deviation is None:
        return middle + suffix
    return f"{middle} ± {samples.deviation / factor:,.{decimals}f}{suffix}"


def scale(value: float, unit: Unit) -> tuple[float, int, str]:
    """Factor, decimals and suffix that write `value` with three digits: bytes as MiB or GiB, times as ms or s."""
    size = abs(value)
    factor: float
    if unit == "bytes":
        factor, suffix = (GIB, " GiB") if size >= 1000 * MIB else (MIB, " MiB")
    elif unit == "s":
        factor, suffix = (1.0, " s") if size >= 0.9995 else (1e-3, " ms")
    elif unit == "J/token":
        factor, suffix = (1.0, " J") if size >= 0.9995 else (1e-3, " mJ")
    else:
        factor, suffix = 1.0, ""
    scaled = size / factor
    return factor, 0 if scaled >= 99.95 else 1 if scaled >= 9.995 else 2, suffix
