"""What differs is said first; a change is called one only if it is more than noise."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from edgelfm.bench.compare import Change, Comparison, compare
from edgelfm.bench.report import BenchReport, Result
from edgelfm.hardware.host import Host, Runtime
from tests import bench_reports
from tests.bench_reports import STARTER, alone, example, noisy, series


def decoded(seconds: list[float], **subject: Any) -> BenchReport:
    """A report of nothing but decode times."""
    return replace(alone(), results=(Result(replace(STARTER, **subject), (series("decode", seconds, 100, 512),)),))


def verdict(a: list[float], b: list[float]) -> str:
    return compare(decoded(a), decoded(b)).changes[0].verdict


def shown(comparison: Comparison, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(comparison)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def share(answers: list[str], wanted: str) -> float:
    return answers.count(wanted) / len(answers)


def test_draws_of_one_distribution_are_noise_in_about_95_of_100() -> None:
    draw = random.Random(1)
    verdicts = [verdict(noisy(0.8, 0.03, draw), noisy(0.8, 0.03, draw)) for _ in range(300)]
    assert 0.94 <= share(verdicts, "noise") <= 1.0


@pytest.mark.parametrize(("factor", "said"), [(1.10, "worse"), (0.90, "better")])
def test_ten_percent_beyond_three_percent_of_spread_is_found_in_five_samples(factor: float, said: str) -> None:
    draw = random.Random(2)
    verdicts = [verdict(noisy(0.8, 0.03, draw), noisy(0.8 * factor, 0.03, draw)) for _ in range(100)]
    assert share(verdicts, said) >= 0.95


def test_one_disturbed_repetition_hides_nothing() -> None:
    disturbed = [1.00, 1.01, 0.99, 1.00, 1.02, 1.01, 0.98, 2.5]
    assert verdict(disturbed, [1.20, 1.21, 1.19, 1.22, 1.18, 1.20, 1.21, 1.20]) == "worse"


@pytest.mark.parametrize(("of_a", "of_b"), [(1, 1), (3, 3), (1, 9), (3, 4)])
def test_too_few_samples_cannot_tell(of_a: int, of_b: int) -> None:
    comparison = compare(decoded([1.0] * of_a), decoded([2.0] * of_b))
    change = comparison.changes[0]
    assert (change.verdict, change.probability, change.interval) == ("cannot tell", None, None)
    assert change.ratio == pytest.approx(0.5)
    assert not comparison.worse()
    assert "cannot tell: it takes 4 repetitions on each side to tell a change from noise" in comparison.remarks
    assert verdict([1.0] * 4, [2.0] * 4) == "worse"


def test_a_report_compared_with_itself() -> None:
    comparison = compare(example(), example())
    assert comparison.comparable
    assert not comparison.differences
    assert not comparison.only_in
    assert {one.verdict for one in comparison.changes} == {"noise", "cannot tell"}
    assert "Nothing recorded differs. The figures can be compared." in shown(comparison)


def test_faster_and_slower_follow_what_is_measured() -> None:
    slow = compare(decoded([1.0, 1.01, 1.02, 1.03, 1.04]), decoded([1.2, 1.21, 1.22, 1.23, 1.24])).changes[0]
    assert slow.ratio == pytest.approx(1.02 / 1.22)
    assert slow.loss == pytest.approx(1 - 1.02 / 1.22)
    assert slow.interval is not None
    assert slow.interval[0] < slow.ratio < slow.interval[1] < 1
    loads = [
        replace(alone(), results=(Result(STARTER, (series("load", times),)),))
        for times in ([1.0, 1.01, 1.02, 1.03, 1.04], [1.2, 1.21, 1.22, 1.23, 1.24])
    ]
    late = compare(*loads).changes[0]
    assert (late.verdict, late.ratio) == ("worse", pytest.approx(1.22 / 1.02))
    assert late.loss == pytest.approx(1.22 / 1.02 - 1)
    assert compare(*loads[::-1]).changes[0].verdict == "better"


def test_worse_by_how_much_and_of_whom() -> None:
    comparison = compare(decoded([1.0, 1.01, 1.02, 1.03]), decoded([1.2, 1.21, 1.22, 1.23]))
    assert len(comparison.worse()) == len(comparison.worse(0.1)) == 1
    assert not comparison.worse(0.2)
    assert comparison.worse(subject="edgelfm")
    assert not comparison.worse(subject="transformers")


def test_zero_seconds_cannot_be_compared() -> None:
    zero = replace(alone(), results=(Result(STARTER, (series("load", [0.0] * 5),)),))
    change = compare(zero, zero).changes[0]
    assert (change.verdict, change.ratio, change.loss) == ("cannot tell", None, 0.0)
    assert "cannot tell" in shown(compare(zero, zero))


def altered(change: Callable[[Host], Host]) -> BenchReport:
    return replace(alone(), host=change(alone().host))


BREAKING = {
    "cpu model": altered(lambda host: replace(host, cpu=replace(host.cpu, model="Intel Xeon"))),
    "cpu quota": altered(lambda host: replace(host, cpu=replace(host.cpu, quota=1.0))),
    "board name": altered(lambda host: replace(host, board=replace(host.board, name="Raspberry Pi 5"))),
    "measured read bandwidth": replace(alone(), bandwidth_bytes_per_second=24e9),
    "sha256": replace(alone(), results=(replace(alone().results[0], subject=replace(STARTER, sha256="0" * 64)),)),
    "quantization": replace(
        alone(), results=(replace(alone().results[0], subject=replace(STARTER, quantization="Q8_0")),)
    ),
    "throttled": bench_reports.troubled(),
    "not ready": bench_reports.troubled(),
}
NAMED = {
    "os release": altered(lambda host: replace(host, os=replace(host.os, release="6.8.0"))),
    "os python": altered(lambda host: replace(host, os=replace(host.os, python="3.13.1"))),
    "llama.cpp": altered(lambda host: replace(host, runtimes=(Runtime("llama.cpp", "x", True, "0.4.0"),))),
    "edgelfm": replace(alone(), edgelfm="0.2.0"),
    "command": replace(alone(), command="edgelfm bench starter --tokens 100"),
    "version": replace(alone(), results=(replace(alone().results[0], subject=replace(STARTER, version="0.2.0")),)),
    "threads": replace(alone(), results=(replace(alone().results[0], subject=replace(STARTER, threads=1)),)),
    "KV type": replace(
        alone(), results=(replace(alone().results[0], subject=replace(STARTER, settings=STARTER.settings[:2])),)
    ),
}


@pytest.mark.parametrize("what", BREAKING)
def test_what_rules_comparing_out(what: str) -> None:
    comparison = compare(alone(), BREAKING[what])
    assert not comparison.comparable
    assert what in {one.what for one in comparison.differences if one.breaks}
    assert "Not comparable: " in shown(comparison, 200).splitlines()[0]
    assert what in shown(comparison, 200).splitlines()[0]


@pytest.mark.parametrize("what", NAMED)
def test_what_is_named_and_may_be_the_reason(what: str) -> None:
    comparison = compare(alone(), NAMED[what])
    assert comparison.comparable
    assert [one.what for one in comparison.differences] == [what]
    assert "Same machine, weights and conditions. The figures can be compared." in shown(comparison, 200)


def test_what_changes_by_the_minute_is_not_named() -> None:
    later = altered(
        lambda host: replace(
            host,
            memory=replace(host.memory, available_bytes=1, pressure_some_avg10=3.0),
            os=replace(host.os, boot_id="another"),
            disk=replace(host.disk, free_bytes=1),
        )
    )
    assert not compare(alone(), replace(later, bandwidth_bytes_per_second=30.5e9)).differences


def test_what_only_one_has() -> None:
    fewer = replace(alone(), results=(replace(alone().results[0], series=alone().results[0].series[:2]),))
    only = compare(example((512, 2048)), fewer).only_in
    assert ("a", "transformers") in only
    assert ("a", "edgelfm: decode, 100 tokens after 2,048") in only
    assert compare(fewer, alone()).only_in[0][0] == "b"


def test_two_subjects_of_one_name_are_compared_in_order() -> None:
    twice = replace(alone(), results=(*decoded([1.0] * 4).results, *decoded([2.0] * 4).results))
    assert [change.ratio for change in compare(twice, twice).changes] == [1.0, 1.0]


def test_a_machine_that_drifted_shows_in_what_did_not_change() -> None:
    slower = example()
    peer = slower.results[1]
    sluggish = tuple(
        replace(one, repetitions=tuple(replace(again, seconds=again.seconds * 1.3) for again in one.repetitions))
        for one in peer.series
    )
    b = replace(slower, results=(slower.results[0], replace(peer, series=sluggish)))
    said = "llama.cpp bare loop is the same in both, yet its prefill and decode changed: the machine was not the same"
    assert said in compare(example(), b).remarks
    assert said not in compare(example(), example()).remarks


def test_how_many_changes_chance_would_mark() -> None:
    comparison = compare(example(), example())
    tested = sum(one.probability is not None for one in comparison.changes)
    assert f"of {tested} figures that did not change, about {round(tested * 0.05)} would be marked by chance" in (
        comparison.remarks
    )


@pytest.mark.parametrize("width", [80, 120])
def test_it_fits_the_terminal(width: int) -> None:
    odd = replace(bench_reports.troubled(), host=Host(), edgelfm="[red]2")
    for comparison in (compare(example(), example((512, 2048))), compare(alone(), odd)):
        assert max(map(len, shown(comparison, width).splitlines())) <= width


def test_words_of_the_verdicts() -> None:
    text = shown(compare(decoded([1.0, 1.01, 1.02, 1.03]), decoded([1.2, 1.21, 1.22, 1.23])))
    line = next(line for line in text.splitlines() if line.startswith("decode @ 512"))
    assert line.split()[3:6] == ["98.5", "82.3", "-16.5"]
    assert line.rstrip().endswith("slower")
    heavier = [
        replace(alone(), results=(Result(STARTER, (series("decode", [1.0] * 4, 100, joules=joules),)),))
        for joules in (10.0, 20.0)
    ]
    energy = next(line for line in shown(compare(*heavier)).splitlines() if line.startswith("energy"))
    assert energy.rstrip().endswith("more")


def test_nothing_in_common() -> None:
    assert "no figure is in both" in shown(compare(alone(), bench_reports.empty()))


def test_changes_are_plain_data() -> None:
    change = compare(alone(), alone()).changes[0]
    assert isinstance(change, Change)
    assert (change.subject, change.key.name, change.a.count) == ("edgelfm", "prefill", 5)
