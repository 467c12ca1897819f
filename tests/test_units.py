from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelfm.errors import RequestError
from edgelfm.units import format_bytes, format_rate, format_seconds, parse_bytes, round_up, size_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.5 GiB", 1_610_612_736),
        ("800 MB", 800_000_000),
        ("800mb", 800_000_000),
        (" 2 g ", 2_000_000_000),
        ("512", 512),
        (4096, 4096),
        ("0.5KiB", 512),
    ],
)
def test_amounts_people_write(text: str | int, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1_610_612_736, "1.5 GiB"),
        (805_306_368, "768 MiB"),
        (1000, 1000),
        (0, 0),
        (10**30, 10**30),
        (2**80, "1125899906842624 GiB"),
    ],
)
def test_an_amount_to_type_is_read_back_to_the_byte(count: int, text: str | int) -> None:
    assert size_text(count) == text
    assert parse_bytes(size_text(count)) == count


@pytest.mark.parametrize("text", ["", "much", "1.5 gallons", "-3 GB", -3, "1,5 GB", None, 2.5, True, "GiB"])
def test_what_is_no_amount_is_named_and_the_way_to_write_it_shown(text: Any) -> None:
    with pytest.raises(RequestError, match="is not an amount of memory") as caught:
        parse_bytes(text)
    assert repr(text) in str(caught.value)
    assert "1.5 GiB" in caught.value.hint


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (88 * 1024**2, "88 MiB"),
        (999.6 * 1024**2, "1000 MiB"),
        (1023 * 1024**2, "1.00 GiB"),
        (1.46 * 1024**3, "1.46 GiB"),
        (-2048, "-2.0 KiB"),
    ],
)
def test_amounts_for_people(count: float, expected: str) -> None:
    assert format_bytes(count) == expected


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(4.26e9, "4.26 GB/s"), (31.6e9, "31.6 GB/s"), (273e9, "273 GB/s"), (999.9e9, "1 TB/s"), (1008.1e9, "1.01 TB/s")],
)
def test_rates_for_people(rate: float, expected: str) -> None:
    assert format_rate(rate) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(0.085, "85 ms"), (1.24, "1.2 s"), (200, "3 min 20 s")])
def test_durations_for_people(seconds: float, expected: str) -> None:
    assert format_seconds(seconds) == expected


@given(st.integers(0, 10**12), st.integers(1, 10**6))
def test_rounding_up(value: int, multiple: int) -> None:
    rounded = round_up(value, multiple)
    assert rounded % multiple == 0
    assert 0 <= rounded - value < multiple
