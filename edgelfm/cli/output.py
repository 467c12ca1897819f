"""How the verbs write: tables and colours in a terminal, plain columns in a pipe, JSON when asked for."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    name: str
    right: bool = False  # numbers
    fixed: bool = True  # never folded, however narrow the terminal
    style: str = ""
    least: int = 0  # left out of terminals with fewer columns; never out of a pipe


def decorated() -> bool:
    """Whether stdout is a terminal that can show frames and styles. NO_COLOR takes the colours, not the frames."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


@functools.cache
def screen() -> Console:
    """The terminal, for rich output."""
    from rich.console import Console

    return Console(highlight=False)


@functools.cache
def side() -> Console:
    """Stderr, for what is about the work and not its result: progress, remarks, figures."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def write_json(data: Any) -> None:
    """One JSON document on stdout. Sizes are bytes, speeds tokens per second, times seconds."""
    print(json.dumps(data, indent=2, ensure_ascii=False))


def write_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """A table: framed in a terminal, aligned columns under one line of headings in a pipe."""
    if not decorated():
        write_columns([[column.name.upper() for column in columns], *rows])
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    shown = [index for index, column in enumerate(columns) if column.least <= screen().width]
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in (columns[index] for index in shown):
        table.add_column(
            column.name,
            justify="right" if column.right else "left",
            no_wrap=column.fixed,
            overflow="ellipsis" if column.fixed else "fold",
            ratio=None if column.fixed else 1,
            style=column.style or None,
        )
    for row in rows:
        table.add_row(*(_escape(row[index]) for index in shown))
    screen().print(table)


def write_columns(rows: Iterable[Sequence[str]]) -> None:
    """Rows with aligned columns, two spaces apart, one row a line, whatever the width. For pipes."""
    kept = [[_one_line(cell) for cell in row] for row in rows]
    widths = [
        max((len(row[i]) for row in kept if i < len(row)), default=0) for i in range(max(map(len, kept), default=0))
    ]
    for row in kept:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip())


def write_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Names and what they stand for, one a line."""
    facts = [(name, value) for name, value in facts if value]
    if not decorated():
        write_columns(facts)
        return
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, _escape(value))
    screen().print(table)


def write_line(text: str = "", *, style: str = "") -> None:
    """One line, styled in a terminal."""
    if decorated():
        screen().print(_escape(text), style=style or None)
    else:
        print(text)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _one_line(text: str) -> str:
    return " ".join(text.split()) or "-"
