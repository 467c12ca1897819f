"""A report in a notebook: its figures as one table. The whole card is a page of its own, made by `card`."""

from __future__ import annotations

from collections.abc import Iterator

from ..markup import bar, bundle, code, escape, facts, grid, heading, terminal
from . import remarks
from .figures import Figure, Key, best, figures, keys
from .report import BenchReport, Result
from .show import report_table


def report_bundle(report: BenchReport) -> dict[str, str]:
    """What ran where, its figures, and what must be said beside them."""
    results = [result for result in report.results if figures(result)]
    table = _figures(report, results) if results else "<p><b>Nothing was measured.</b></p>"
    return bundle(
        terminal(report_table(report)),
        heading(remarks.weights(report), f"on {remarks.machine(report.host)}"),
        table,
        _said(report),
        facts(_method(report)),
    )


def _figures(report: BenchReport, results: list[Result]) -> str:
    """One line a figure, one column a runtime. Bold is the best, and what overlaps with it."""
    held = [figures(result) for result in results]
    rows = []
    for key in keys(report):
        row = [one.get(key) for one in held]
        leaders = best(row)
        longest = max(figure.samples.median for figure in row if figure)
        cells = (_cell(figure, place in leaders, longest, len(row) > 1) for place, figure in enumerate(row))
        rows.append((_name(key), *cells))
    named = [f"{result.subject.name}{' *' if result.subject.note else ''}" for result in results]
    return grid(("", *named), rows, right=range(1, len(results) + 1), wide=len(results) > 1)


def _name(key: Key) -> str:
    unit = {"tokens/s": ", tokens/s", "J/token": ", a token"}.get(key.unit, "")
    better = "higher is better" if key.higher_is_better else "lower is better"
    detail = " · ".join(filter(None, (key.detail, better)))
    return f"{escape(key.name + unit)}<br><small>{escape(detail)}</small>"


def _cell(figure: Figure | None, leads: bool, longest: float, compared: bool) -> str:
    if figure is None:
        return "–"
    text = f"<b>{escape(figure.text)}</b>" if leads else escape(figure.text)
    share = figure.samples.median / longest if longest else 0.0
    return text + bar([("weights" if leads else "plain", share)], figure.text) if compared else text


def _said(report: BenchReport) -> str:
    """What must be known before the figures are believed."""
    lines = [f"{name} *: {note}" for name, note in remarks.not_comparable(report)]
    for result, text in (*remarks.shares(report), *remarks.sustained_lines(report)):
        lines.append(f"{result.subject.name}: {text}" if len(report.results) > 1 else text)
    lines += [*remarks.conditions(report), *remarks.leftovers(report)]
    lines += [f"{one.name} failed: {one.reason}{f'; {one.fix}' if one.fix else ''}" for one in remarks.failures(report)]
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<h5>Read with care</h5><ul>{items}</ul>" if items else ""


def _method(report: BenchReport) -> Iterator[tuple[str, str]]:
    yield "opened", "<br>".join(escape(remarks.opened(one.subject)) for one in report.results if figures(one))
    yield "system", escape(remarks.system(report.host))
    yield "measured", escape(f"{remarks.date(report)}, {remarks.counted(report)}; median ± sample standard deviation")
    yield "again", code(report.command)
