"""Tokens per second from moments alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelfm.monitor.speed import Speedometer, latter_half, mean_speed, speed_at, stretches


def even(begin: float, count: int, rate: float) -> list[float]:
    return [begin + place / rate for place in range(count)]


@pytest.mark.parametrize("rate", [0.5, 3.0, 40.0, 2000.0])
def test_the_speed_while_tokens_come_is_theirs_however_slow(rate: float) -> None:
    tokens = even(10.0, 50, rate)
    for at in (tokens[2], tokens[20], tokens[-1]):
        assert speed_at(at, tokens, [10.0]) == pytest.approx(rate, rel=0.01)


def test_before_between_and_after_replies_there_is_none() -> None:
    tokens = [*even(0.0, 20, 10), *even(8.0, 20, 10)]
    firsts = [0.0, 8.0]
    assert speed_at(-1.0, tokens, firsts) is None
    assert speed_at(5.0, tokens, firsts) is None
    assert speed_at(8.0, tokens, firsts) is None
    assert speed_at(8.1, tokens, firsts) == pytest.approx(10)
    assert speed_at(12.0, tokens, firsts) is None


def test_a_change_of_speed_shows_within_a_second() -> None:
    tokens = [*even(0.0, 40, 20), *even(2.0, 20, 5)]
    assert speed_at(1.9, tokens, [0.0]) == pytest.approx(20, rel=0.05)
    assert speed_at(3.5, tokens, [0.0]) == pytest.approx(5, rel=0.05)


def test_a_recording_may_begin_in_the_middle_of_a_reply() -> None:
    assert [len(part) for part in stretches([1, 2, 3, 7, 8], [7.0])] == [3, 2]
    assert stretches([], []) == []


def test_the_mean_leaves_the_time_between_replies_out() -> None:
    assert mean_speed([even(0.0, 11, 10), even(60.0, 11, 10)]) == pytest.approx(10)
    assert mean_speed([[1.0], [2.0]]) is None


def test_the_latter_half_is_half_of_the_time_of_decode() -> None:
    parts = latter_half([even(0.0, 101, 10), even(20.0, 51, 5)])
    assert mean_speed(parts) == pytest.approx(5, rel=0.05)
    one = latter_half([[*even(0.0, 100, 20), *even(5.0, 26, 5)]])
    assert mean_speed(one) == pytest.approx(5, rel=0.05)


@given(st.lists(st.floats(0, 100), max_size=60), st.floats(-1, 101))
def test_no_moments_make_it_fail(moments: list[float], at: float) -> None:
    tokens = sorted(moments)
    speed = speed_at(at, tokens, tokens[:1])
    assert speed is None or speed > 0
    latter_half(stretches(tokens, tokens[:1]))


def test_a_meter_that_goes_along_says_the_same() -> None:
    tokens, firsts = [*even(0.0, 30, 10), *even(5.0, 30, 20)], [0.0, 5.0]
    meter = Speedometer()
    for step in range(30):
        since, at = (step - 1) / 4, step / 4
        meter.add([one for one in tokens if since < one <= at], [one for one in firsts if since < one <= at])
        assert meter.at(at) == speed_at(at, [one for one in tokens if one <= at], firsts)


def test_a_meter_forgets() -> None:
    meter = Speedometer()
    meter.add([], [0.0])
    for second in range(100):
        meter.add(even(second, 1000, 1000), [])
    assert meter.at(99.999) == pytest.approx(1000, rel=0.01)
    assert len(meter._tokens) < 20_000
