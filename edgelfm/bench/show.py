"""A report on screen, tidy from 80 columns on: one line a runtime, or one line a figure if one runtime was measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from . import remarks
from .figures import Figure, Key, best, figures, keys
from .report import BenchReport, Result

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table
    from rich.text import Text

#: Columns that belong together, and stay together where the width allows.
_GROUPS = (
    ("prefill", "decode", "sustained"),
    ("first_token_cold", "first_token_warm", "first_token_after_edit"),
    ("load", "memory", "energy"),
)
_GAP = 2  # columns between columns
_LONGEST_NAME = 30  # characters of a runtime's name before it folds


def report_table(report: BenchReport) -> RenderableType:
    """The whole report: what ran where, its figures, and what must be said beside them."""
    from rich.console import Group
    from rich.text import Text

    body: list[RenderableType] = [_head(report)]
    if remarks.measured_anything(report):
        body += [Text(), _Comparison(report) if len(report.results) > 1 else _single(report.results[0])]
    said = list(_remarks(report))
    return Group(*body, *([Text()] if said else []), *said)


def _head(report: BenchReport) -> Table:
    from rich.table import Table

    head = Table.grid(padding=(0, 2))
    head.add_column(style="bold", no_wrap=True)
    head.add_column(overflow="fold")
    head.add_row("Model", _plain(remarks.weights(report)))
    head.add_row("Machine", _plain(remarks.machine(report.host)))
    head.add_row("", _plain(remarks.system(report.host), "dim"))
    if len(report.results) == 1:
        subject = report.results[0].subject
        head.add_row("Opened", _plain(remarks.opened(subject)))
    head.add_row("Measured", _plain(f"{remarks.date(report)}, {remarks.counted(report)}"))
    head.add_row("", _plain(report.command, "cyan"))
    return head


def _single(result: Result) -> Table:
    """One figure a line, for a single runtime."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True, style="bold")
    table.add_column(style="dim", overflow="fold")
    for key, figure in figures(result).items():
        unit = {"tokens/s": " tokens/s", "J/token": " a token"}.get(key.unit, "")
        table.add_row(key.name, figure.text + unit, key.detail)
    return table


class _Comparison:
    """One line a runtime, in as few tables as the width allows. Every group of columns that fits stays whole."""

    def __init__(self, report: BenchReport) -> None:
        self.results = [result for result in report.results if figures(result)]
        self.figures = [figures(result) for result in self.results]
        self.columns = {key: [one.get(key) for one in self.figures] for key in keys(report)}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        from rich.text import Text

        names = min(_LONGEST_NAME, max((len(_name(result)) for result in self.results), default=0))
        for place, columns in enumerate(self._pack(options.max_width - names)):
            if place:
                yield Text()
            yield self._table(columns, names)

    def _pack(self, room: int) -> list[list[Key]]:
        """Columns of each table."""
        tables: list[list[Key]] = [[]]
        left = room
        for kinds in _GROUPS:
            group = [key for key in self.columns if key.kind in kinds]
            widths = {key: _GAP + self._width(key) for key in group}
            if sum(widths.values()) > left and tables[-1]:
                tables.append([])
                left = room
            for key in group:
                if widths[key] > left and tables[-1]:
                    tables.append([])
                    left = room
                tables[-1].append(key)
                left -= widths[key]
        return [table for table in tables if table]

    def _width(self, key: Key) -> int:
        cells = [figure.text for figure in self.columns[key] if figure]
        return max(len(line) for text in (*cells, _header(key)) for line in text.split("\n"))

    def _table(self, columns: Sequence[Key], names: int) -> Table:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP, 0, 0), collapse_padding=True)
        table.add_column("", overflow="fold", min_width=names, max_width=names, vertical="bottom")
        for key in columns:
            table.add_column(_header(key), justify="right", no_wrap=True, header_style="bold")
        leaders = {key: best(self.columns[key]) for key in columns}
        for place, result in enumerate(self.results):
            row = [_cell(self.columns[key][place], place in leaders[key]) for key in columns]
            table.add_row(_plain(_name(result)), *row)
        return table


def _header(key: Key) -> str:
    """Two or three short lines."""
    words = (
        key.name.replace("first token, ", "first token\n").replace("peak ", "peak\n").replace("sustained ", "sust. ")
    )
    after = f" @ {key.depth:,}" if key.kind in ("decode", "energy", "prefill") and key.depth else ""
    if key.unit == "tokens/s":
        count = f" {key.tokens:,}" if key.kind == "prefill" else ""
        return f"{words}{count}{after}\ntokens/s"
    return f"{words}{after}\na token" if key.kind == "energy" else words


def _cell(figure: Figure | None, leads: bool) -> Text:
    from rich.text import Text

    if figure is None:
        return Text("–", style="dim")
    middle, _, rest = figure.text.partition(" ")
    return Text.assemble((middle, "bold green" if leads else ""), (f" {rest}" if rest else "", "" if leads else "dim"))


def _name(result: Result) -> str:
    """With a star if its figures stand beside the others with care."""
    return f"{result.subject.name} *" if result.subject.note else result.subject.name


def _remarks(report: BenchReport) -> Iterator[Table | Text]:
    lines = list(_remark_lines(report))
    if lines:
        from rich.table import Table

        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for mark, text, style in lines:
            table.add_row(_plain(mark, style), _plain(text, style))
        yield table


def _remark_lines(report: BenchReport) -> Iterator[tuple[str, str, str]]:
    """Mark, text and style of each remark."""
    several = len(report.results) > 1
    shares = [(result.subject.name, text) for result, text in remarks.shares(report)]
    for place, (name, text) in enumerate(shares):
        rate = remarks.bandwidth(report) if place == len(shares) - 1 else ""
        yield "•", f"{name}: {text}" if several else text, ""
        if rate:
            yield "", rate, "dim"
    for result, text in remarks.sustained_lines(report):
        yield "•", f"{result.subject.name}: {text}" if several else text, ""
    if remarks.measured_anything(report):
        yield "•", "shown: median ± sample standard deviation", "dim"
    if any(best([figures(result).get(key) for result in report.results]) for key in keys(report)):
        yield "•", "green: the best of its column, and those whose repetitions overlap with it", "dim"
    if several:
        for result in report.results:
            opened = remarks.opened(result.subject)
            if figures(result) and opened:
                yield "•", opened, "dim"
    for name, note in remarks.not_comparable(report):
        yield "*", f"{name}: {note}", "yellow"
    for line in (*remarks.conditions(report), *remarks.leftovers(report)):
        yield "!", line, "yellow"
    for failure in remarks.failures(report):
        yield "✗", f"{failure.name}: {failure.reason}", "red"
        if failure.fix:
            yield "", failure.fix, "cyan"


def _plain(text: str, style: Any = "") -> Text:
    """Text that is not read as markup."""
    from rich.text import Text

    return Text(text, style=style)
