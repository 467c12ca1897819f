"""Small pieces of SVG and HTML: elements, escaped text, and the ticks of an axis. Knows nothing of what is shown.

Positions along a plot are percentages of its width and those across it pixels, so a plot fills any width and its text
keeps its size, on a phone as on a wide screen.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence


def escape(text: str) -> str:
    """`text` for use in an element or an attribute. What cannot be printed, as direction marks, becomes a box."""
    printable = "".join(one if one.isprintable() else " " if one.isspace() else "\ufffd" for one in text)
    return html.escape(printable, quote=True)


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
