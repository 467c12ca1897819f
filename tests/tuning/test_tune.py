"""A model is measured on first use, the next plan knows, and what somebody asked for stays."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

import edgelfm
from edgelfm.errors import RequestError
from edgelfm.planning import record_store
from edgelfm.planning.records import Trial
from edgelfm.tuning.adopting import first_use, known, replanned
from edgelfm.tuning.progress import Measuring
from tests.tiny_folder import write_tiny_lfm2_folder

QUICK = 0.5  # seconds
HERE = {"measured", "calibrated"}  # on this machine, the latter while other programs were at work


@pytest.fixture(autouse=True)
def own_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGELFM_CACHE", str(tmp_path / "cache"))


def test_the_first_load_measures_and_the_second_does_not(tiny_path: Path) -> None:
    seen: list[Measuring] = []
    with edgelfm.load(tiny_path, tune=seen.append) as lfm:
        assert lfm.candidate.decode.grade == "measured"
        assert lfm.candidate.settings.threads.grade == "measured" or lfm.host.cpu.usable_cores == 1
        assert lfm.plan.chosen is lfm.candidate
    assert {one.phase for one in seen} == {"prefill", "decode"}
    (record,) = record_store.read()
    seen.clear()
    record_store.keep(replace(record, cores_taken=0))  # a neighbour may have come and gone in between
    with edgelfm.load(tiny_path, tune=seen.append) as lfm:
        assert lfm.candidate.settings.threads.value == record.threads
    assert seen == []


def test_a_tiny_model_is_tuned_in_a_moment(tiny_path: Path) -> None:
    with edgelfm.load(tiny_path, tune=False) as lfm:
        started = time.perf_counter()
        lfm.tune(seconds=QUICK, progress=False)
        assert time.perf_counter() - started < 3 * QUICK + 1


def test_tune_false_measures_nothing(tiny_path: Path) -> None:
    with edgelfm.load(tiny_path, tune=False) as lfm:
        assert lfm.candidate.decode.grade not in HERE
    assert record_store.read() == ()


def test_what_was_asked_for_is_kept_and_the_record_knows_better(tiny_path: Path) -> None:
    with edgelfm.load(tiny_path, threads=1, micro_batch=256, context=1024) as lfm:
        settings = lfm.candidate.settings
        assert (settings.threads.value, settings.threads.reason) == (1, "asked for")
        assert (settings.micro_batch.value, settings.micro_batch.reason) == (256, "asked for")
        assert lfm.context == 1024
    (record,) = record_store.read()
    assert any(one.setting == "threads" for one in record.tried) or lfm.host.cpu.usable_cores == 1


def test_tuning_a_model_that_is_open_goes_on_with_what_was_found(tiny_path: Path) -> None:
    with edgelfm.load(tiny_path, tune=False) as lfm:
        talk = lfm.conversation()
        talk.send("one", max_tokens=4, temperature=0)
        tuned = lfm.tune(seconds=QUICK, progress=False)
        record = tuned.record
        assert lfm.candidate.settings.threads.value == record.threads
        assert lfm.candidate.settings.threads_prefill.value == record.threads_prefill
        assert record.decode.runs >= 1
        assert 0 < record.prefill.low <= record.prefill.seconds <= record.prefill.high
        assert record.depth == record.prompt in (64, 128, 256, 512)
        assert talk.send("two", max_tokens=4, temperature=0).usage.completion_tokens >= 1  # it still answers
        assert record_store.read() == (record,)


def test_every_choice_is_among_what_was_tried(tiny_path: Path) -> None:
    with edgelfm.load(tiny_path, tune=False) as lfm:
        record = lfm.tune(seconds=QUICK, progress=False).record
    for one in {(trial.phase, trial.setting) for trial in record.tried}:
        value = getattr(record, one[1])
        shown = ("on" if value else "off") if isinstance(value, bool) else str(value)
        assert record.seconds_with(*one, shown) is not None


def test_a_record_of_a_busy_hour_does_not_do_for_a_quiet_one(tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with edgelfm.load(tiny_path, tune=False) as lfm:
        record = lfm.tune(seconds=QUICK, progress=False).record
        record_store.forget(record.host)
        record_store.keep(replace(record, cores_taken=99))  # busier than this machine can be now
        assert not known(lfm.plan, lfm.candidate)
        record_store.keep(replace(record, cores_taken=0))
        assert known(lfm.plan, lfm.candidate)


def test_flash_attention_once_found_out_stays_so_that_states_on_disk_keep_their_worth(tiny_path: Path) -> None:
    with edgelfm.load(tiny_path, tune=False) as lfm:
        record = lfm.tune(seconds=QUICK, progress=False).record
    tried = tuple(
        Trial("decode", "flash_attention", value, seconds) for value, seconds in (("on", 3e-4), ("off", 2e-4))
    )
    record_store.forget(record.host)
    busy = replace(record, cores_taken=99, flash_attention=False, tried=tried)  # so it is measured anew
    record_store.keep(busy)
    with edgelfm.load(tiny_path, context=512) as lfm:
        assert lfm.candidate.settings.flash_attention.value is False
    (again,) = [one for one in record_store.read() if one.key != busy.key]
    assert again.flash_attention is False
    with edgelfm.load(tiny_path, context=512) as lfm:
        assert lfm.candidate.settings.flash_attention.value is False


def test_the_artifact_that_is_open_stays_first_whatever_is_fastest(tiny_path: Path) -> None:
    with edgelfm.load(tiny_path, tune=False) as lfm:
        record = lfm.tune(seconds=QUICK, progress=False).record
        again = replanned(lfm.plan, lfm.candidate, record)
        assert again.candidates[0].artifact == lfm.candidate.artifact
        assert again.request == lfm.plan.request


def test_a_cache_that_cannot_be_written_costs_the_next_start_and_no_more(
    tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with edgelfm.load(tiny_path, tune=False) as lfm:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("EDGELFM_CACHE", str(tmp_path / "file"))
        tuned = lfm.tune(seconds=QUICK, progress=False)
        assert "file" in tuned.not_kept
        assert lfm.candidate.settings.threads.value == tuned.record.threads


def test_without_memory_to_measure_in_the_plan_says_so_and_stays(tiny_path: Path) -> None:
    with edgelfm.load(tiny_path, tune=False) as lfm:
        full = replace(lfm.plan, budget=replace(lfm.plan.budget, usable_bytes=lfm.candidate.memory.total))
        after = first_use(lfm._session, full, lfm.candidate)
        assert after is not None
        assert after.chosen == lfm.candidate
        assert "not measured" in after.advice[-1]


def test_an_interrupt_while_measuring_frees_the_model(tiny_path: Path) -> None:
    def interrupted(now: Measuring) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        edgelfm.load(tiny_path, tune=interrupted)
    with edgelfm.load(tiny_path, tune=False) as lfm:  # and nothing is in the way of the next
        with pytest.raises(KeyboardInterrupt):
            lfm.tune(seconds=QUICK, progress=interrupted)
        assert lfm.complete("a", max_tokens=2).usage.completion_tokens >= 1
    assert record_store.read() == ()


@pytest.mark.parametrize("seconds", [0, -1])
def test_no_time_is_no_request(tiny_path: Path, seconds: float) -> None:
    with edgelfm.load(tiny_path, tune=False) as lfm, pytest.raises(RequestError):
        lfm.tune(seconds=seconds)


def test_where_nothing_is_to_choose_the_speed_is_measured(tmp_path: Path) -> None:
    pytest.importorskip("mlx_lm", reason="needs: pip install 'edgelfm[mlx]'")
    folder = write_tiny_lfm2_folder(tmp_path / "tiny")
    with edgelfm.load(folder, backend="mlx", tune=False, progress=False) as lfm:
        assert lfm.candidate.decode.grade not in HERE
        before = lfm.candidate.settings.threads.value
        tuned = lfm.tune(seconds=QUICK, progress=False)
        assert {lfm.candidate.decode.grade, lfm.candidate.prefill.grade} <= HERE
        assert lfm.candidate.settings.threads.value == before
        assert tuned.record.backend == "mlx"
        assert tuned.record.decode.runs >= 3
        assert lfm.chat("Hello", max_tokens=3, temperature=0)
    assert edgelfm.plan(folder, backend="mlx").chosen.decode.grade in HERE
