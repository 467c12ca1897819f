"""Two unknowns from a few runs: exact where the runs are exact, honest where they are not."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelfm.planning.fit import USUAL_PER_LAYER, Observation, fit

bandwidths = st.floats(2e9, 2e12)  # bytes per second, from a small board to a large card


def run(bytes: float, layers: int, bandwidth: float, per_layer: float, error: float = 0.0) -> Observation:
    return Observation(bytes, layers, (bytes / bandwidth + layers * per_layer) * (1 + error), 0.05)


@given(bandwidth=bandwidths, share=st.floats(0.02, 0.5))
def test_three_exact_runs_of_different_sizes_give_both_unknowns_back(bandwidth: float, share: float) -> None:
    per_layer = share * 225e6 / bandwidth / 16  # so that the smallest spends that share of its time beside reading
    found = fit([run(read, 16, bandwidth, per_layer) for read in (225e6, 700e6, 2.5e9)])
    for read in (150e6, 400e6, 1.2e9, 3e9):
        assert found.seconds(read, 16) == pytest.approx(read / bandwidth + 16 * per_layer, rel=0.07)


@given(bandwidth=st.floats(5e9, 60e9))
def test_one_run_is_explained_with_what_a_layer_usually_takes(bandwidth: float) -> None:
    one = run(700e6, 16, bandwidth, USUAL_PER_LAYER)
    found = fit([one])
    assert found.seconds(700e6, 16) == pytest.approx(one.seconds)
    assert found.seconds_per_layer == pytest.approx(USUAL_PER_LAYER)
    assert found.seconds_per_byte == pytest.approx(1 / bandwidth)


@given(
    runs=st.lists(
        st.tuples(st.floats(1e6, 1e11), st.integers(1, 200), st.floats(1e-6, 100.0), st.floats(0.01, 1.0)),
        min_size=1,
        max_size=8,
    )
)
def test_whatever_the_runs_nothing_is_negative_or_undefined(runs: list[tuple[float, int, float, float]]) -> None:
    found = fit([Observation(*one) for one in runs])
    assert found.seconds_per_byte > 0
    assert found.seconds_per_layer >= 0
    assert 0 < found.seconds(1e9, 16) < float("inf")
    assert 0 <= found.doubt(1e9, 16) < float("inf")


def test_two_runs_of_nearly_one_size_do_not_tear_the_line_away() -> None:
    found = fit([run(225e6, 16, 30e9, 1e-4, +0.05), run(230e6, 16, 30e9, 1e-4, -0.05)])
    assert found.seconds(1.2e9, 16) == pytest.approx(1.2e9 / 30e9 + 16e-4, rel=0.15)


def test_one_wild_run_among_many_counts_for_little() -> None:
    good = [run(read, 16, 30e9, 1e-4) for read in (225e6, 400e6, 700e6, 1.2e9)]
    found = fit([*good, run(900e6, 16, 30e9, 1e-4, error=1.0)])
    for one in good:
        assert found.seconds(one.bytes, 16) == pytest.approx(one.seconds, rel=0.06)


def test_doubt_grows_with_the_distance_from_what_was_run_and_shrinks_with_runs() -> None:
    small = [run(225e6, 16, 30e9, 1e-4), run(260e6, 16, 30e9, 1e-4)]
    assert fit(small).doubt(240e6, 16) < fit(small).doubt(700e6, 16) < fit(small).doubt(5e9, 16)
    both = fit([*small, run(1.2e9, 16, 30e9, 1e-4)])
    assert both.doubt(700e6, 16) < fit(small).doubt(700e6, 16)


def test_doubt_is_as_large_as_the_errors_are() -> None:
    """The true time lies within 1.645 standard deviations nine times in ten, however the runs were drawn."""
    draw = random.Random(7)
    held = total = 0
    for _ in range(400):
        bandwidth, per_layer = draw.uniform(10e9, 60e9), draw.uniform(5e-5, 1.5e-4)
        sizes = draw.sample([225e6, 260e6, 400e6, 700e6, 1.2e9, 2.5e9], draw.choice([1, 2, 3]))
        found = fit([run(size, 16, bandwidth, per_layer, draw.gauss(0, 0.05)) for size in sizes])
        for size in (225e6, 900e6, 2.0e9):
            true = size / bandwidth + 16 * per_layer
            error = abs(true / found.seconds(size, 16) - 1)
            held += error <= 1.645 * found.doubt(size, 16)
            total += 1
    assert held / total >= 0.88
