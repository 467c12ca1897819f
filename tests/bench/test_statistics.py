"""Mean, spread and rates, against the standard library and by hand."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelfm.bench.report import Conditions, Kind, Repetition, Series, Slice
from edgelfm.bench.statistics import Summary, joules_per_token, rates, seconds, sustained

QUIET = Conditions(0.0, True, None, None, None)


def series(kind: Kind, tokens: int, *times: float, joules: float | None = None) -> Series:
    return Series(kind, tokens, 0, tuple(Repetition(one, QUIET, joules) for one in times))


@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=30))
def test_a_summary_agrees_with_the_standard_library(values: list[float]) -> None:
    told = Summary(tuple(values))
    assert told.mean == pytest.approx(statistics.fmean(values))
    assert told.deviation == pytest.approx(statistics.stdev(values))
    assert told.median == statistics.median(values)
    assert (told.low, told.high, told.count) == (min(values), max(values), len(values))


def test_a_single_value_has_no_spread() -> None:
    assert Summary((2.0,)).deviation is None


def test_rates_are_made_of_each_time_and_not_of_their_mean() -> None:
    told = rates(series("decode", 100, 1.0, 4.0))
    assert told is not None
    assert told.values == (100.0, 25.0)
    assert told.mean == 62.5


@pytest.mark.parametrize("kind", ["load", "first_token_cold", "first_token_warm", "first_token_after_edit"])
def test_what_is_not_counted_in_tokens_has_no_rate(kind: Kind) -> None:
    assert rates(series(kind, 32, 1.0)) is None


def test_a_series_that_never_ran_has_no_figures() -> None:
    assert seconds(series("decode", 100)) is None
    assert rates(series("decode", 100)) is None


def test_energy_per_token() -> None:
    told = joules_per_token(series("decode", 100, 1.0, 2.0, joules=50.0))
    assert told is not None
    assert told.mean == 0.5
    assert joules_per_token(series("decode", 100, 1.0)) is None


def test_a_sustained_run_that_slows_down() -> None:
    slices = [
        Slice(at_seconds=float(i), seconds=1.0, tokens=100 - i, celsius=50.0 + i, megahertz=None, throttled=i > 15,
              energy_joules=10.0)
        for i in range(20)
    ]  # fmt: skip
    told = sustained(slices)
    assert told is not None
    assert told.first == pytest.approx(99.5)
    assert told.last == pytest.approx(81.5)
    assert told.mean == pytest.approx(90.5)
    assert (told.seconds, told.hottest, told.throttled) == (20.0, 69.0, True)
    assert told.joules_per_token == pytest.approx(200 / 1810)
    assert sustained([]) is None
