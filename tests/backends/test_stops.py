"""Where a prefill pauses. A message ends at 0 here."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgelfm.backends.stops import SPACING, stops


def at(prompt: list[int], start: int = 0) -> list[int]:
    return stops(prompt, start, lambda token: token == 0)


def message(length: int) -> list[int]:
    return [1] * (length - 1) + [0]


def test_a_few_words_are_read_in_one_go() -> None:
    assert at([*message(10), 1, 1]) == []


def test_a_system_prompt_ends_where_another_conversation_can_begin() -> None:
    assert at(message(60) + [1] * 60) == [60]


def test_the_last_message_can_be_exchanged() -> None:
    assert at(message(60) + message(60) + message(60) + [1] * 60) == [60, 180]


def test_a_long_document_has_places_on_the_way() -> None:
    assert at([1] * 1000) == [256, 512, 768]


def test_what_is_there_already_is_not_counted() -> None:
    assert at(message(60) + [1] * 60, start=80) == []


@given(st.lists(st.integers(0, 20), min_size=1, max_size=2000), st.data())
def test_stops_rise_and_never_leave_a_long_stretch(prompt: list[int], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(prompt) - 1))
    places = [*at(prompt, start), len(prompt)]
    assert places == sorted(set(places))
    assert places[0] > start
    gaps = [b - a for a, b in zip([start, *places], places, strict=False)]
    assert max(gaps) < 2 * SPACING
