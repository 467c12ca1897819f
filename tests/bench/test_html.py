"""A benchmark report in a notebook: one table, and what must be known before it is believed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.bench_reports import alone, empty, example, troubled
from tests.html_checks import HOSTILE, look, plain


def test_figures_stand_in_one_table_with_the_best_in_bold() -> None:
    report = example()
    text = look(report).text
    assert "SmolLM2-135M-Instruct Q4_1 on AMD EPYC 9R14, 2 cores, 23.54 GiB of memory" in text
    html = report._repr_mimebundle_()["text/html"]
    assert "<b>871 ± 14</b>" in html
    assert "<b>47.4 ± 0.8 ms</b>" in html
    assert "610 ± 10" in html
    assert "<b>610" not in html
    assert "edgelfm bench starter --peers --sustained 300" in text


def test_what_is_not_comparable_and_what_failed_is_said() -> None:
    text = look(example()).text
    assert "transformers *: weights dequantized to bf16" in text
    assert "mlx-lm failed: mlx-lm is not installed; pip install 'edgelfm[mlx]'" in text
    assert "throttled from 3 min 10 s on" in text
    assert "ran on a machine that was not ready" in look(troubled()).text


def test_one_runtime_alone_needs_no_bars() -> None:
    assert 'class="elfm-bar"' in example()._repr_mimebundle_()["text/html"]
    assert 'class="elfm-bar"' not in alone()._repr_mimebundle_()["text/html"]


def test_a_report_without_figures() -> None:
    text = look(empty()).text
    assert "Nothing was measured." in text
    assert "interrupted" in text


def test_it_is_short() -> None:
    assert len(example()._repr_mimebundle_()["text/html"]) < 20_000
    assert plain(example()).startswith("Model")


@pytest.mark.parametrize("text", HOSTILE)
def test_names_and_notes_are_text(text: str) -> None:
    report = example()
    results = tuple(
        replace(one, subject=replace(one.subject, name=text, note=text, version=text, model=text), failure=text)
        for one in report.results
    )
    page = look(replace(report, results=results, command=text, notes=(text,), started_at=text))
    assert "a" not in page.seen
