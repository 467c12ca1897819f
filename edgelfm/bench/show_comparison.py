"""A comparison on screen: whether the figures may be compared at all comes first, then what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .compare import Change, Comparison
from .figures import write

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

_STYLES = {"better": "bold green", "worse": "bold red", "noise": "dim", "cannot tell": "dim yellow"}


def comparison_table(comparison: Comparison) -> RenderableType:
    """What differs, the changes subject by subject, and what only one of the two has."""
    from rich.console import Group
    from rich.text import Text

    blocks: list[RenderableType] = [_head(comparison)]
    if comparison.differences:
        blocks += [Text(), _differences(comparison)]
    for subject in dict.fromkeys(one.subject for one in comparison.changes):
        blocks += [Text(), _changes(subject, [one for one in comparison.changes if one.subject == subject])]
    if not comparison.changes:
        blocks += [Text(), Text("no figure is in both", style="bold yellow")]
    lines = [*comparison.remarks, *(f"only in {side}: {what}" for side, what in comparison.only_in)]
    if lines:
        blocks += [Text(), *(_plain(f"• {line}", "dim") for line in lines)]
    return Group(*blocks)


def _head(comparison: Comparison) -> Text:
    from rich.text import Text

    if comparison.comparable:
        same = "Nothing recorded differs." if not comparison.differences else "Same machine, weights and conditions."
        return Text.assemble((same, "bold green"), " The figures can be compared.")
    broken = dict.fromkeys(one.what for one in comparison.differences if one.breaks)
    why = ", ".join(list(broken)[:4]) + (" …" if len(broken) > 4 else "")
    return Text.assemble(
        (f"Not comparable: {why} differ{'s' if len(broken) == 1 else ''}.", "bold red"),
        " The changes below need not come from what was tried.",
    )


def _differences(comparison: Comparison) -> Table:
    table = _grid(("differs", {"overflow": "fold"}), ("a", {"overflow": "fold"}), ("b", {"overflow": "fold"}))
    for one in comparison.differences:
        what = f"{one.subject}: {one.what}" if one.subject else one.what
        style = "red" if one.breaks else ""
        table.add_row(_plain(what, style), _plain(one.a, style), _plain(one.b, style))
    return table


def _changes(subject: str, changes: list[Change]) -> Table:
    right = {"justify": "right", "no_wrap": True}
    table = _grid(
        (subject, {"overflow": "fold"}),
        ("a", right),
        ("b", right),
        ("change %", right),
        ("95 % within", right),
        ("", {"no_wrap": True}),
    )
    for one in changes:
        unit = one.key.unit
        change = "" if one.ratio is None else _percent(one.ratio)
        interval = " to ".join(map(_percent, one.interval)) if one.interval else ""
        style = _STYLES[one.verdict]
        deep = one.key.depth and one.key.kind in ("prefill", "decode", "energy")
        name = one.key.name.replace("after edit", "edited") + (f" @ {one.key.depth:,}" if deep else "")
        middles = (write(one.a.median, unit), write(one.b.median, unit))
        table.add_row(_plain(name), *middles, _plain(change, style), interval, _plain(verdict_word(one), style))
    return table


def verdict_word(change: Change) -> str:
    """`faster`, `slower`, `less`, `more`, `noise` or `cannot tell`."""
    if change.verdict in ("noise", "cannot tell"):
        return change.verdict
    amount = change.key.kind in ("memory", "energy")
    if change.verdict == "better":
        return "less" if amount else "faster"
    return "more" if amount else "slower"


def _percent(ratio: float) -> str:
    return f"{(ratio - 1) * 100:+.1f}"


def _grid(*columns: tuple[str, dict[str, Any]]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), collapse_padding=True)
    for header, options in columns:
        table.add_column(_plain(header), **options)
    return table


def _plain(text: str, style: Any = "") -> Text:
    from rich.text import Text

    return Text(text, style=style)
