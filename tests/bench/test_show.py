"""The table in a terminal says everything that was measured, and keeps within the width."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from edgelfm.bench.figures import Key, best, figures, write, write_spread
from edgelfm.bench.report import BenchReport, Result
from edgelfm.bench.statistics import Summary
from tests import bench_reports
from tests.bench_reports import crowd, example, series

REPORTS = {
    "example": example(),
    "depths": example((0, 512, 2048, 4096)),
    "alone": bench_reports.alone(),
    "troubled": bench_reports.troubled(),
    "empty": bench_reports.empty(),
    "eight": crowd(8),
}


def shown(report: BenchReport, width: int = 100, *, colour: bool = False) -> str:
    console = Console(
        file=io.StringIO(), width=width, force_terminal=colour, color_system="standard" if colour else None
    )
    console.print(report)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def unfolded(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", REPORTS)
def test_it_fits(name: str, width: int) -> None:
    assert max(map(len, shown(REPORTS[name], width).splitlines())) <= width


@pytest.mark.parametrize("width", [80, 120, 200])
def test_every_figure_of_every_runtime_is_there(width: int) -> None:
    text = shown(example((512, 2048)), width)
    for result in example((512, 2048)).results:
        for figure in figures(result).values():
            assert figure.text in text, (result.subject.name, figure.key)


def test_columns_are_named() -> None:
    text = unfolded(shown(example(), 200))
    assert "prefill 512 decode @ 512 first token first token first token peak energy @ 512" in text
    assert "tokens/s tokens/s cold warm after edit load memory a token" in text


def test_at_eighty_columns_groups_stay_together() -> None:
    lines = shown(example(), 80).splitlines()
    header = next(line for line in lines if "cold" in line)
    assert "warm" in header
    assert "after edit" in header
    assert "tokens/s" not in header


def test_the_machine_the_versions_and_the_command() -> None:
    text = unfolded(shown(example()))
    assert "SmolLM2-135M-Instruct Q4_1" in text
    assert "AMD EPYC 9R14, 2 cores, 23.54 GiB of memory" in text
    assert "kernel 6.1.0-25-amd64" in text
    assert "edgelfm bench starter --peers --sustained 300" in text
    assert "2026-11-24 09:30 UTC, 5 repetitions, runtimes taking turns, 3 min 48 s in all" in text
    assert "llama-cpp-python 0.3.36, Q4_1: threads 1, flash attention off" in text


def test_a_report_of_one_runtime_is_compact() -> None:
    text = unfolded(shown(bench_reports.alone(), 80))
    assert "edgelfm 0.1.0, Q4_1: threads 2, flash attention on" in text
    assert "decode 124 ± 2 tokens/s 100 tokens after 512" in text
    assert "• 36 % of what memory bandwidth allows 31.6 GB/s read bandwidth" in text
    assert "the best of its column" not in text
    assert "taking turns" not in text


def test_the_share_of_the_bandwidth_has_a_line_for_each() -> None:
    text = unfolded(shown(example()))
    assert "edgelfm: 36 % of what memory bandwidth allows" in text
    assert "llama-cpp-python: 27 % of what memory bandwidth allows 31.6 GB/s read bandwidth" in text
    one = bench_reports.alone()
    beyond = replace(one, results=(replace(one.results[0], bandwidth_share=1.34),))
    assert "134 % of what memory bandwidth allows, so part of the weights stays in the processor's cache" in unfolded(
        shown(beyond, 200)
    )


def test_what_failed_and_what_is_not_comparable() -> None:
    text = unfolded(shown(example()))
    assert "✗ mlx-lm: mlx-lm is not installed pip install 'edgelfm[mlx]'" in text
    assert "* transformers: weights dequantized to bf16" in text
    assert "transformers * 159 ± 2" in text
    assert "no figure" not in text


def test_a_runtime_that_failed_midway_keeps_its_figures() -> None:
    whole = example()
    stopped = replace(whole.results[1], failure="the process was killed")
    text = unfolded(shown(replace(whole, results=(whole.results[0], stopped)), 200))
    assert "llama.cpp bare loop 889 ± 9" in text
    assert "✗ llama.cpp bare loop: the process was killed" in text


def test_the_conditions_are_said_once_for_each_repetition() -> None:
    text = unfolded(shown(bench_reports.troubled(), 120))
    assert "waited 42.5 s in all for a quiet and cool machine: the hottest sensor read 75 °C" in text
    assert "1 of 5 repetitions ran on a machine that was not ready: other programs used 62 % of the cores" in text
    assert "the processor was throttled before 1 of 5 repetitions" in text
    quiet = shown(example())
    assert "waited" not in quiet
    assert "not ready" not in quiet


def test_a_sustained_run_in_a_line() -> None:
    assert (
        "5 min at a stretch: 124 tokens/s at first, 103 at the end, hottest 84 °C, throttled from 3 min 10 s on"
        in unfolded(shown(bench_reports.alone(), 200))
    )


def test_nothing_ran() -> None:
    text = unfolded(shown(bench_reports.empty()))
    assert "interrupted: what is here was measured, the rest was not" in text
    assert "mlx-lm is not installed" in text


def test_the_best_is_green() -> None:
    lines = shown(example(), 200, colour=True).splitlines()
    ours = next(line for line in lines if "871" in line)
    assert "\x1b[1;32m871" in ours
    assert "\x1b[1;32m610" not in "".join(lines)


def test_names_are_text_not_markup() -> None:
    one = bench_reports.alone()
    odd = replace(one.results[0], subject=replace(one.results[0].subject, name="[red]x", note="[bold]y"))
    text = shown(replace(one, results=(odd, *example().results[1:2]), command="run [/]"), 200)
    assert "[red]x *" in text
    assert "[bold]y" in text
    assert "run [/]" in text


def row(*times: tuple[float, ...]) -> list[object]:
    key = Key("decode", 100, 0)
    return [
        figures(Result(bench_reports.STARTER, (series("decode", seconds, 100),)))[key] if seconds else None
        for seconds in times
    ]


def test_those_that_overlap_with_the_best_are_level_with_it() -> None:
    assert best(row((1.0, 1.1), (1.05, 1.2), (1.3, 1.4))) == {0, 1}  # type: ignore[arg-type]
    assert best(row((1.0,), (), (2.0,))) == {0}  # type: ignore[arg-type]
    assert best(row((1.0,), ())) == frozenset()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (1234.5, "tokens/s", "1,234"),
        (125.4, "tokens/s", "125"),
        (14.24, "tokens/s", "14.2"),
        (2.814, "tokens/s", "2.81"),
        (0.9994, "s", "999 ms"),
        (0.9996, "s", "1.00 s"),
        (0.0462, "s", "46.2 ms"),
        (0.0, "s", "0.00 ms"),
        (83.0, "s", "83.0 s"),
        (238e6, "bytes", "227 MiB"),
        (1.13e9, "bytes", "1.05 GiB"),
        (0.18, "J/token", "180 mJ"),
    ],
)
def test_values_have_three_digits(value: float, unit: str, said: str) -> None:
    assert write(value, unit) == said  # type: ignore[arg-type]


def test_a_spread_has_the_decimals_of_its_median() -> None:
    assert write_spread(Summary((0.046, 0.047, 0.048)), "s") == "47.0 ± 1.0 ms"
    assert write_spread(Summary((125.0,)), "tokens/s") == "125"
