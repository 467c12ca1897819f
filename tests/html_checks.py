"""What every HTML that stands in a notebook must keep to, whatever is in it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

VOID = {"br", "img", "hr", "meta", "input", "link"}
#: Nothing else is needed, and nothing among these can run or load anything.
ALLOWED = {
    "div", "span", "style", "h4", "h5", "p", "b", "i", "br", "small", "code", "pre", "ul", "li", "a",
    "table", "thead", "tbody", "tr", "th", "td", "details", "summary",
}  # fmt: skip
#: Where links may lead: to licences and to the pages of models.
WEB = ("https://huggingface.co/", "https://docs.liquid.ai/", "https://www.apache.org/licenses/")
#: What may be said of the look beside the style sheet.
STYLE = re.compile(
    r"text-align:left|(display:inline-block;background-color:#[0-9a-f]{6};)?height:\d+px;width:\d+(\.\d+)?(%|px)"
)
#: What hostile text looks like: it would leave an element or an attribute, or trip a browser, JSON or a terminal.
HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><b>out</b>',
    "javascript:alert(1)",
    "right to left: \u202eevil\u202c \u2066isolated\u2069",
    "\x1b[31mred\x1b[0m \x00 \x07",
    "lone \ud800 surrogate",
    "[" * 10_000 + "]" * 10_000,
    "w" * 3_000,
    "</div></td></style>",
    "edgelfm[onnx] [/b] :smile: [link=javascript:alert(1)]x",
)


class Page(HTMLParser):
    """Reads a piece of HTML and remembers what a reader sees."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.links: list[str] = []
        self.words: list[str] = []
        self.summaries = 0
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, f"<{tag}> has no place in a notebook"
        self.seen.add(tag)
        for name, value in attributes:
            assert not name.startswith("on"), f"{name} would run something"
            if name == "style":
                assert STYLE.fullmatch(value or ""), value
            if name == "href":
                assert str(value).startswith(WEB), value
                self.links.append(str(value))
            assert name in ("class", "style", "href", "rel", "target", "role", "aria-label"), name
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("br", "td", "th", "tr", "p", "div", "li", "h4", "h5"):
            self.words.append(" ")

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        """What is read, white space as a browser collapses it."""
        return " ".join("".join(self.words).replace("\xa0", " ").split())


def look(shown: Any) -> Page:
    """The HTML of an object, checked. Its plain text is checked too."""
    bundle = shown._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    for text in bundle.values():
        text.encode("utf-8")  # a lone surrogate would not go through a notebook's file
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", text)
    assert "http" not in re.sub(r'href="[^"]*"', "", bundle["text/html"].partition("</style>")[0])
    assert "url(" not in bundle["text/html"].partition("</style>")[0]
    return Page(bundle["text/html"])


def plain(shown: Any) -> str:
    """The plain text of an object."""
    return str(shown._repr_mimebundle_()["text/plain"])
