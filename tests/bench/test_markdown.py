"""Markdown that can be pasted into an issue."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgelfm.bench.markdown import report_markdown
from tests import bench_reports
from tests.bench_reports import example


def table(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:1] == "|"]


def test_one_line_a_figure_one_column_a_runtime() -> None:
    lines = table(report_markdown(example()))
    assert lines[0] == ["", "edgelfm", "llama.cpp bare loop", "llama-cpp-python", r"transformers \*",
                        r"onnxruntime-genai \*"]  # fmt: skip
    assert {len(line) for line in lines} == {6}
    decode = next(line for line in lines if line[0].startswith("decode"))
    assert decode[:2] == ["decode, 100 tokens after 512, tokens/s", "**124 ± 2**"]
    assert decode[3] == "94.5 ± 1.2"
    warm = next(line for line in lines if line[0].startswith("first token, warm"))
    assert warm[-1] == "–"


def test_what_stands_below_the_table() -> None:
    text = report_markdown(example())
    assert text.startswith("### SmolLM2-135M-Instruct Q4\\_1 on AMD EPYC 9R14, 2 cores, 23.54 GiB of memory\n")
    assert "```sh\nedgelfm bench starter --peers --sustained 300\n```" in text
    assert "- edgelfm: 36 % of what memory bandwidth allows\n" in text
    assert "- \\* transformers: weights dequantized to bf16" in text
    assert "- mlx-lm failed: mlx-lm is not installed; pip install 'edgelfm\\[mlx\\]'" in text
    assert "kernel 6.1.0-25-amd64" in text
    assert "llama-cpp-python 0.3.36" in text
    method = text.split("```")[-1].strip().splitlines()
    assert len(method) == 2


@pytest.mark.parametrize("report", [bench_reports.alone(), bench_reports.empty(), bench_reports.troubled()])
def test_other_reports(report: object) -> None:
    assert report_markdown(report).endswith(".\n")  # type: ignore[arg-type]


def test_names_do_not_break_the_table() -> None:
    odd = example()
    subject = replace(odd.results[0].subject, name="a|b\n<img src=x> @everyone", settings=(("*x*", "`y`"),))
    text = report_markdown(
        replace(odd, results=(replace(odd.results[0], subject=subject), odd.results[1]), command="echo ```\nrm")
    )
    assert {len(line) for line in table(text)} == {3}
    assert r"a\|b \<img src=x\> \@everyone" in text
    assert r"\*x\* \`y\`" in text
    assert "````sh\necho ``` rm\n````" in text
