"""`lfm.bench()`: the same measurements on a model that is in use, which goes on as if nothing had been."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import edgelfm
from edgelfm.backends.base import Session
from edgelfm.bench.own import OwnRunner
from edgelfm.bench.statistics import find, rates
from edgelfm.errors import RequestError, SessionClosed
from edgelfm.planning.plan import Candidate

SMALL: dict[str, Any] = {"quick": True, "prompt": 64, "tokens": 8, "depths": [16], "repetitions": 2, "patience": 0}


@pytest.fixture
def lfm(tiny_path: Path) -> Iterator[edgelfm.Model]:
    with edgelfm.load(tiny_path, context=1024, threads=1, tune=False) as model:
        yield model


def test_a_report_with_consistent_figures(lfm: edgelfm.Model) -> None:
    report = lfm.bench(**SMALL, progress=False)
    result = report.results[0]
    decode = find(result, "decode")
    assert decode is not None
    told = rates(decode)
    assert told is not None
    assert told.values == tuple(8 / one.seconds for one in decode.repetitions)
    assert find(result, "load") is None
    assert result.peak_memory_bytes
    assert result.bytes_per_token
    if report.bandwidth_bytes_per_second:
        share = result.bytes_per_token * told.median / report.bandwidth_bytes_per_second
        assert result.bandwidth_share == pytest.approx(share)
    assert report.command == f"{lfm.candidate.load_command}.bench(prompt=64, tokens=8, depths=(16,), repetitions=2)"


def test_conversations_come_back(lfm: edgelfm.Model) -> None:
    talk = lfm.conversation()
    talk.send("one two three four five six seven eight nine ten", max_tokens=12)
    used = talk.context_used
    lfm.bench(**SMALL, progress=False)
    reply = talk.send("and eleven", max_tokens=4)
    assert reply.timings.cached_tokens >= used - 1


def test_every_repetition_begins_afresh(session: Session, tiny: Candidate) -> None:
    runner = OwnRunner(tiny, {}, session=session)
    runner.start()
    for _ in range(3):  # each raises if the prompt was in the state already
        runner.prefill(64)
        runner.decode(32, 4)
        runner.first_token("first_token_cold", 32, 32)
    runner.stop()
    session.tokenize("still open")


def test_the_text_never_ends_before_its_time(starter_path: Path) -> None:
    with edgelfm.load(starter_path, context=512, tune=False) as starter:
        runner = OwnRunner(starter.candidate, {}, session=starter._session)
        runner.start()
        assert runner.decode(8, 150) > 0  # raises if it is a token more or less


def test_progress_is_told(lfm: edgelfm.Model) -> None:
    seen: list[Any] = []
    lfm.bench(**SMALL, progress=seen.append)
    assert seen[0].fraction == 0
    assert [one.done for one in seen] == sorted(one.done for one in seen)
    assert any(one.what == "2/2 edgelfm: decode at 16" for one in seen)
    assert seen[-1].seconds_left is not None


def test_it_must_fit_the_context(lfm: edgelfm.Model) -> None:
    with pytest.raises(RequestError, match="context of") as caught:
        lfm.bench(depths=[5000])
    assert "context=" in caught.value.hint


def test_a_closed_model_is_not_measured(lfm: edgelfm.Model) -> None:
    lfm.close()
    with pytest.raises(SessionClosed):
        lfm.bench(**SMALL)


def test_an_interrupt_gives_the_report_and_the_model_goes_on(lfm: edgelfm.Model) -> None:
    def interrupt(now: Any) -> None:
        if now.what.startswith("2/2") and "warm" in now.what:
            raise KeyboardInterrupt

    report = lfm.bench(**SMALL, progress=interrupt)
    assert report.interrupted
    assert len(find(report.results[0], "decode").repetitions) == 2  # type: ignore[union-attr]
    assert len(find(report.results[0], "first_token_warm").repetitions) == 1  # type: ignore[union-attr]
    assert lfm.chat("hello", max_tokens=4).usage.completion_tokens
