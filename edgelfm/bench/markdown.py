"""A report as Markdown, to be pasted into an issue: a table, then the machine, versions, the command and the method."""

from __future__ import annotations

import re
from collections.abc import Iterator

from . import remarks
from .figures import Figure, best, figures, keys
from .report import BenchReport

_MARKUP = re.compile(r"([\\`*_\[\]<>|#~&$@])")


def report_markdown(report: BenchReport) -> str:
    """The whole report in GitHub's Markdown, ending in a newline. Names and notes are text, whatever they hold."""
    blocks = [f"### {_text(remarks.weights(report))} on {_text(remarks.machine(report.host))}"]
    if remarks.measured_anything(report):
        blocks.append("\n".join(_table(report)))
    lines = list(_lines(report))
    if lines:
        blocks.append("\n".join(f"- {line}" for line in lines))
    blocks.append(_fenced(report.command))
    blocks.append("\n".join(_text(line) for line in remarks.METHOD))
    return "\n\n".join(blocks) + "\n"


def _table(report: BenchReport) -> Iterator[str]:
    """One line a figure, one column a runtime; bold is the best and what overlaps with it."""
    results = [result for result in report.results if figures(result)]
    held = [figures(result) for result in results]
    yield _row(["", *(_text(result.subject.name) + (" \\*" if result.subject.note else "") for result in results)])
    yield _row(["---", *("---:" for _ in results)])
    for key in keys(report):
        row = [one.get(key) for one in held]
        leaders = best(row)
        unit = {"tokens/s": ", tokens/s", "J/token": " a token"}.get(key.unit, "")
        yield _row([key.label + unit, *(_cell(figure, place in leaders) for place, figure in enumerate(row))])


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(figure: Figure | None, leads: bool) -> str:
    if figure is None:
        return "–"
    return f"**{figure.text}**" if leads else figure.text


def _lines(report: BenchReport) -> Iterator[str]:
    several = len(report.results) > 1
    for result, text in (*remarks.shares(report), *remarks.sustained_lines(report)):
        yield f"{_text(result.subject.name)}: {text}" if several else text
    if remarks.bandwidth(report):
        yield remarks.bandwidth(report)
    for name, note in remarks.not_comparable(report):
        yield f"\\* {_text(name)}: {_text(note)}"
    for line in (*remarks.conditions(report), *remarks.leftovers(report)):
        yield _text(line)
    for failure in remarks.failures(report):
        fix = f"; {_text(failure.fix)}" if failure.fix else ""
        yield f"{_text(failure.name)} failed: {_text(failure.reason)}{fix}"
    for result in report.results:
        if figures(result):
            yield _text(remarks.opened(result.subject))
    yield _text(f"edgelfm {report.edgelfm}; {remarks.system(report.host)}")
    yield f"{remarks.date(report)}, {remarks.counted(report)}"


def _text(text: str) -> str:
    """`text` on one line, nothing of it read as markup."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def _fenced(command: str) -> str:
    longest = max((len(run) for run in re.findall("`+", command)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh\n{' '.join(command.split())}\n{fence}"
