"""Small pieces of SVG and HTML, and the bundle in which a notebook gets them. Knows nothing of what is shown.

Positions along a plot are percentages of its width and those across it pixels, so a plot fills any width and its text
keeps its size, on a phone as on a wide screen. What stands in a notebook must also be readable where style and classes
are stripped, as on GitHub: every figure is text, and colours, bars and boxes only repeat it.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

#: Of bars, as in the style sheet. They stand in the elements too, for JupyterLab takes the style sheet out of a
#: notebook that somebody else ran, and leaves these.
_COLOURS = {"weights": "#17928a", "kv": "#c9782f", "conv": "#9673d3", "compute": "#4686c8", "other": "#87949f"}
_COLOURS["plain"] = _COLOURS["other"]
_LEFT = ' style="text-align:left"'
_JOINERS = "\u200c\u200d"  # parts of words in Persian and Hindi, and of emoji


def escape(text: str) -> str:
    """`text` for use in an element or an attribute. What cannot be printed, as direction marks, becomes a box."""
    if not text.isprintable():
        text = "".join(one if one.isprintable() else " " if one.isspace() else "\ufffd" for one in text)
    return html.escape(text, quote=True)


def readable(text: str) -> str:
    """`text` with its line breaks and tabs. Every other sign that cannot be printed becomes a box."""
    if text.isprintable():
        return text
    kept = "\n\t" + _JOINERS
    text = text.replace("\r\n", "\n")
    return "".join(one if one.isprintable() or one in kept else " " if one.isspace() else "\ufffd" for one in text)


def prose(text: str) -> str:
    """`text` as it was written, with its line breaks and indents. They stay where style is stripped."""
    return "<br>".join(map(_indented, readable(text).split("\n")))


def _indented(line: str) -> str:
    rest = line.lstrip(" \t")
    return "&nbsp;" * len(line[: len(line) - len(rest)].expandtabs(4)) + html.escape(rest, quote=True)


def block(text: str) -> str:
    """Lines that stand under each other, letter for letter."""
    return f"<pre>{html.escape(readable(text), quote=True)}</pre>"


def element(name: str, content: str | None = None, **attributes: str | float) -> str:
    """One element. `content` is markup already; attributes are escaped, `class_` is `class`, `_` becomes `-`."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value if isinstance(value, str) else number(value))}"'
        for key, value in attributes.items()
    )
    return f"<{name}{written}/>" if content is None else f"<{name}{written}>{content}</{name}>"


def text(words: str, x: str, y: float, class_: str, anchor: str = "start") -> str:
    """Words in a plot. `anchor` is start, middle or end."""
    return element("text", escape(words), x=x, y=y, class_=class_, text_anchor=anchor)


def number(value: float) -> str:
    """Short, never in scientific notation."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def percent(share: float) -> str:
    """A position along the plot, 0 to 1."""
    return f"{number(100 * share)}%"


def picture(identity: str, title: str, description: str, height: float, parts: Sequence[str]) -> str:
    """A plot with a name and a description for those who do not see it."""
    named = element("title", escape(title), id=f"{identity}-title")
    named += element("desc", escape(description), id=f"{identity}-desc")
    return element(
        "svg",
        named + "".join(parts),
        role="img",
        width="100%",
        height=height,
        aria_labelledby=f"{identity}-title {identity}-desc",
    )


def ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Round positions that begin at or below `low` and end at or above `high`, about `wanted` steps apart."""
    reach = high - low
    if not math.isfinite(reach) or reach <= 0:
        return [low, low + 1]
    raw = reach / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next((power * nice for nice in (1, 2, 2.5, 5) if power * nice >= raw * 0.999), power * 10)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [place * step for place in range(first, last + 1)]


def bundle(text: str, *parts: str) -> dict[str, str]:
    """What `_repr_mimebundle_` returns: plain text, and `parts` of HTML with the style sheet around them."""
    page = f'<div class="elfm"><style>{sheet()}</style>{"".join(parts)}</div>'
    return {"text/plain": readable(text.rstrip()), "text/html": page}


@cache
def sheet() -> str:
    """The style sheet on one line, for it travels with every output."""
    text = Path(__file__).with_name("markup.css").read_text(encoding="utf-8")
    return re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)).strip()


def terminal(renderable: Any, width: int = 100) -> str:
    """What rich shows, as text without colour, `width` characters wide."""
    import io

    from rich.console import Console

    file = io.StringIO()
    console = Console(
        file=file, width=width, color_system=None, legacy_windows=False, force_jupyter=False, markup=False, emoji=False
    )
    console.print(renderable)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def heading(title: str, detail: str = "") -> str:
    """What this is, and in small print which one."""
    beside = f" <small>{escape(detail)}</small>" if detail else ""
    return f"<h4>{escape(title)}{beside}</h4>"


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """A table of names and what there is to say. Values are markup; a row without one is left out."""
    lines = "".join(f"<tr><th{_LEFT}>{escape(name)}</th><td{_LEFT}>{value}</td></tr>" for name, value in rows if value)
    return f'<table class="elfm-facts"><tbody>{lines}</tbody></table>' if lines else ""


def grid(header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = (), wide: bool = True) -> str:
    """A table whose first column names the row. Cells are markup; `right` are the columns of figures."""
    look = dict.fromkeys(right, ' class="elfm-right"') | {0: f' class="elfm-name"{_LEFT}'}
    named = "".join(f"<th{look.get(place, _LEFT)}>{escape(one)}</th>" for place, one in enumerate(header))
    body = "".join(
        "<tr>" + "".join(f"<td{look.get(place, _LEFT)}>{one}</td>" for place, one in enumerate(row)) + "</tr>"
        for row in rows
    )
    narrow = "" if wide else " elfm-narrow"
    table = f'<table class="elfm-grid{narrow}"><thead><tr>{named}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="elfm-scroll">{table}</div>'


def folded(summary: str, content: str) -> str:
    """Something to open. It needs no script."""
    return f"<details><summary>{escape(summary)}</summary><div>{content}</div></details>"


def code(text: str) -> str:
    """Something to type, in a line."""
    return f"<code>{escape(text)}</code>"


def small(text: str) -> str:
    """Fine print on a line of its own."""
    return f"<br><small>{escape(text)}</small>" if text else ""


def badge(grade: str) -> str:
    """How well a figure is known."""
    return f'<span class="elfm-grade elfm-{escape(grade)}">{escape(grade)}</span>'


def link(url: str, words: str) -> str:
    """A link, where `url` is one of the web. Anything else stays text."""
    if not re.fullmatch(r"https://[^\s\"'<>]+", url):
        return escape(words)
    return f'<a href="{escape(url)}" rel="noopener" target="_blank">{escape(words)}</a>'


def bar(parts: Iterable[tuple[str, float]], words: str) -> str:
    """Shares of a whole side by side: (look, share from 0 to 1). `words` say the same to those who do not see it."""
    pieces = "".join(
        f'<i class="elfm-{look}" style="{_coloured(look)}height:10px;width:{percent(min(1.0, share))}"></i>'
        for look, share in parts
        if share > 0
    )
    return f'<div class="elfm-bar" role="img" aria-label="{escape(words)}">{pieces}</div>'


def keyed(parts: Iterable[tuple[str, str]]) -> str:
    """What the colours of a bar stand for, with their figures: (look, words)."""
    square = '<i class="elfm-key elfm-{0}" style="{1}height:9px;width:9px"></i>'
    words = ", ".join(f"<span>{square.format(look, _coloured(look))} {escape(one)}</span>" for look, one in parts)
    return f"<small>{words}</small>"


def _coloured(look: str) -> str:
    return f"display:inline-block;background-color:{_COLOURS[look]};" if look in _COLOURS else ""
