"""Figures made of stored times: mean, spread, median, rates. They are derived when asked for and never stored."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from .report import Kind, Result, Series, Slice


@dataclass(frozen=True, slots=True)
class Summary:
    """Some numbers of one kind, in the unit of those numbers."""

    values: tuple[float, ...]  # in the order in which they were measured

    @property
    def count(self) -> int:
        """How many there are, at least one."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """Arithmetic mean."""
        return math.fsum(self.values) / len(self.values)

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation (n - 1), None of a single value."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @property
    def median(self) -> float:
        """The middle one, or the mean of the two in the middle."""
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        """The smallest."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The largest."""
        return max(self.values)


def seconds(series: Series) -> Summary | None:
    """The times of a series, None if it is empty."""
    return _summary([one.seconds for one in series.repetitions])


def rates(series: Series) -> Summary | None:
    """Tokens per second of each repetition, None where nothing is counted in tokens: a load, a first token."""
    if series.kind not in ("prefill", "decode", "sustained"):
        return None
    return _summary([series.tokens / one.seconds for one in series.repetitions if one.seconds > 0])


def joules_per_token(series: Series) -> Summary | None:
    """Energy of each repetition by tokens, None where no counter could be read."""
    energies = [one.energy_joules for one in series.repetitions if one.energy_joules is not None]
    return _summary([energy / series.tokens for energy in energies]) if series.tokens else None


def find(result: Result, kind: Kind, depth: int | None = None) -> Series | None:
    """The series of that kind at that depth; at any depth, the shallowest."""
    found = [one for one in result.series if one.kind == kind and depth in (None, one.depth)]
    return min(found, key=lambda one: one.depth, default=None)


@dataclass(frozen=True, slots=True)
class Sustained:
    """A sustained run in a few figures."""

    first: float  # tokens per second in its first tenth
    last: float  # tokens per second in its last tenth
    mean: float  # of all tokens by all seconds of decoding
    seconds: float  # from the beginning to the end of the last slice
    hottest: float | None  # celsius
    throttled: bool | None  # in any slice
    joules_per_token: float | None


def sustained(slices: Sequence[Slice]) -> Sustained | None:
    """What a sustained run came to, None if there was none."""
    if not slices:
        return None
    tenth = max(1, len(slices) // 10)
    heat = [one.celsius for one in slices if one.celsius is not None]
    throttled = [one.throttled for one in slices if one.throttled is not None]
    metered = [one for one in slices if one.energy_joules is not None]
    energy = math.fsum(one.energy_joules or 0.0 for one in metered)
    return Sustained(
        first=_rate(slices[:tenth]),
        last=_rate(slices[-tenth:]),
        mean=_rate(slices),
        seconds=slices[-1].at_seconds + slices[-1].seconds,
        hottest=max(heat, default=None),
        throttled=any(throttled) if throttled else None,
        joules_per_token=energy / sum(one.tokens for one in metered) if metered else None,
    )


def _rate(slices: Sequence[Slice]) -> float:
    return sum(one.tokens for one in slices) / math.fsum(one.seconds for one in slices)


def _summary(values: Sequence[float]) -> Summary | None:
    return Summary(tuple(values)) if values else None
