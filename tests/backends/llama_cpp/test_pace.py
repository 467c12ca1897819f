"""Threads while other programs come and go: a story of readings, and the threads after each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import edgelfm
from edgelfm.backends.llama_cpp.library import library
from edgelfm.backends.llama_cpp.pace import BETWEEN_SECONDS, FIRST_SECONDS, Pace, pace
from edgelfm.decision import Decision


class Neighbours:
    """Others who take cores as the test says, on a clock that the test moves."""

    def __init__(self, threads: int = 4, prefill: int = 4, cores: int = 4) -> None:
        self.now = 0.0
        self.taken: float | None = 0.0
        self.readings = 0
        self.applied: list[tuple[int, int]] = []
        self.pace = Pace(
            lambda decode, batch: self.applied.append((decode, batch)), threads, prefill, cores, self.read,
            clock=lambda: self.now,
        )  # fmt: skip

    def read(self) -> float | None:
        self.readings += 1
        return self.taken

    def take(self, *taken: float | None) -> list[int]:
        """Threads for decode after each of these readings, half a second apart, with a second look after each."""
        after = []
        for one in taken:
            self.taken = one
            for pause in (BETWEEN_SECONDS, FIRST_SECONDS):
                self.now += pause
                self.pace.check()
            after.append(self.pace.threads[0])
        return after


def test_a_thread_gives_way_as_soon_as_a_core_is_taken() -> None:
    assert Neighbours(2, 2, 2).take(0.0, 1.0) == [2, 1]


def test_a_burst_that_is_over_at_the_second_look_is_no_reason() -> None:
    """A page draws what was sent, a file is written: to give way would cost more than it."""
    neighbours = Neighbours(2, 2, 2)
    for taken, pause in ((1.0, BETWEEN_SECONDS), (0.1, FIRST_SECONDS), (0.9, BETWEEN_SECONDS), (0.0, FIRST_SECONDS)):
        neighbours.taken = taken
        neighbours.now += pause
        neighbours.pace.check()
    assert neighbours.readings == 4
    assert neighbours.applied == []


def test_it_comes_back_when_the_core_was_free_for_a_second() -> None:
    assert Neighbours(2, 2, 2).take(1.0, 0.0, 0.0, 0.0) == [1, 1, 2, 2]


def test_as_many_give_way_as_cores_are_taken() -> None:
    assert Neighbours().take(0.9, 2.0, 3.1) == [3, 2, 1]


def test_one_thread_always_stays() -> None:
    assert Neighbours().take(4.0, 9.0) == [1, 1]


def test_a_little_work_of_others_is_no_reason() -> None:
    assert Neighbours().take(0.1, 0.3, 0.45) == [4, 4, 4]


def test_it_does_not_go_to_and_fro_around_the_threshold() -> None:
    neighbours = Neighbours(2, 2, 2)
    assert neighbours.take(0.6, 0.4, 0.6, 0.4, 0.6, 0.4) == [1] * 6
    assert len(neighbours.applied) == 1


def test_a_short_calm_does_not_bring_a_thread_back() -> None:
    assert Neighbours(2, 2, 2).take(1.0, 0.0, 1.0, 0.0, 1.0) == [1] * 5


def test_what_others_did_while_we_rested_slows_nobody_down() -> None:
    neighbours = Neighbours(2, 2, 2)
    neighbours.now, neighbours.taken = 60.0, 2.0
    neighbours.pace.begin()
    assert neighbours.pace.threads == (2, 2)
    assert neighbours.take(0.0) == [2]


def test_a_short_reply_beside_a_busy_program_gives_way_too() -> None:
    neighbours = Neighbours(2, 2, 2)
    neighbours.taken = 1.0
    neighbours.pace.begin()
    for _ in range(2):
        neighbours.now += FIRST_SECONDS
        neighbours.pace.check()
    assert neighbours.pace.threads == (1, 1)


def test_a_calm_rest_brings_threads_back_before_the_first_token() -> None:
    neighbours = Neighbours(2, 2, 2)
    neighbours.take(1.0)
    neighbours.now, neighbours.taken = 60.0, 0.0
    neighbours.pace.begin()
    assert neighbours.pace.threads == (2, 2)


def test_after_a_long_quiet_pause_the_threads_are_back_at_once() -> None:
    neighbours = Neighbours(2, 2, 2)
    neighbours.take(1.0)
    neighbours.now += 60
    assert neighbours.take(0.0) == [2]


def test_spare_cores_are_given_up_first() -> None:
    assert Neighbours(threads=4, prefill=4, cores=8).take(3.0, 4.0, 5.0) == [4, 4, 3]


def test_decode_and_prefill_have_limits_of_their_own() -> None:
    neighbours = Neighbours(threads=2, prefill=4)
    assert neighbours.take(1.0, 3.0) == [2, 1]
    assert neighbours.applied == [(2, 3), (1, 1)]


def test_no_reading_changes_nothing() -> None:
    assert Neighbours().take(None, 2.0, None) == [4, 2, 2]


def test_between_readings_a_check_reads_nothing() -> None:
    neighbours = Neighbours()
    neighbours.take(0.0)
    for _ in range(100):
        neighbours.now += BETWEEN_SECONDS / 200
        neighbours.pace.check()
    assert neighbours.readings == 1


@pytest.mark.parametrize(("threads", "prefill", "paced"), [(2, 2, True), (1, 2, True), (1, 1, False)])
def test_only_what_can_be_changed_has_a_pace(tiny_path: Path, threads: int, prefill: int, paced: bool) -> None:
    chosen = edgelfm.plan(tiny_path).chosen
    assert chosen is not None
    settings = replace(chosen.settings, threads=Decision(threads, ""), threads_prefill=Decision(prefill, ""))
    assert (pace(library(), 0, settings) is not None) is paced


def test_threads_that_were_asked_for_are_never_changed(tiny_path: Path) -> None:
    chosen = edgelfm.plan(tiny_path, threads=2).chosen
    assert chosen is not None
    assert pace(library(), 0, chosen.settings) is None
