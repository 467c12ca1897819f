"""What a model writes does no harm in a page, while it streams and afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.lab import Book, Browser, Lab

NASTY = {
    "script": "Hello <script>window.harmed = 'script'</script> there",
    "image": "<img src=x onerror=\"window.harmed = 'image'\">",
    "picture": '![x](https://example.invalid/x.png "a" onerror=alert)',
    "svg": "<svg onload=\"window.harmed = 'svg'\"><animate onbegin=\"window.harmed = 'svg'\"/></svg>",
    "link": "[a](javascript:window.harmed='a') [b](JaVa\tScRiPt:window.harmed='b') <javascript:window.harmed='c'>",
    "data link": "[press me](data:text/html,<script>window.harmed='data'</script>)",
    "definition": "[press me][1]\n\n[1]: javascript:window.harmed='definition'",
    "frame": "<iframe srcdoc=\"<script>parent.harmed='frame'</script>\"></iframe><object data=x></object><embed src=x>",
    "style": "<style>* { display: none }</style><div style='position:fixed;inset:0'>over everything</div>",
    "form": "<form action='https://example.invalid'><input name=a autofocus onfocus=\"window.harmed='form'\"></form>",
    "code": "```<script>\nwindow.harmed='code'\n```\n\n``` \"><img src=x onerror=window.harmed='code'>\nx\n```",
    "table": "| <b onmouseover=window.harmed='table'>x</b> | [y](javascript:1) |\n|---|---|\n| `<script>` | ok |",
    "entities": "&lt;script&gt;window.harmed='entity'&lt;/script&gt; &#60;img src=x onerror=window.harmed=1&#62;",
    "mutation": '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=harmed=1&gt;">',
    "broken": "**bold *mixed __up_ `code [link](  \n> - 1. ```\n| a |\n|--\n~~~",
    "brackets": "[" * 5000 + "]" * 5000,
    "quotes": "> " * 10_000 + "deep",
    "stars": "*" * 10_000 + "a" + "*" * 10_000,
    "lists": "- " * 10_000,
    "long word": "x" * 20_000,
    "surrogate": "half \ud83d of a pair, \x00 a nul, \u202e backwards",
}
ATTRIBUTES = """[...document.querySelectorAll('.elfm-message *')].flatMap((one) => [...one.attributes])
    .map((one) => one.name).filter((name) => name.startsWith('on'))"""
TOO_WIDE = "(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)(document.querySelector('.elfm-chat'))"
CELLS = [
    "import edgelfm\nlfm = edgelfm.load('starter', context=8192, progress=False, tune=False)",
    """
from edgelfm.notebook.chat_view import ChatView
from edgelfm.notebook.transcript import message
from edgelfm.notebook.worker import Worker
view = ChatView(Worker())
feed = view.desk.feed
def write(text, by):
    feed.put({"op": "put", "key": "m", "message": message("assistant", state="writing")}, {"op": "path", "keys": ["m"]})
    for at in range(0, len(text), by):
        feed.text("m", "text", text[at : at + by])
        feed.text("m", "thinking", text[at : at + by])
        feed.flush()
    feed.put({"op": "put", "key": "m", "message": message("assistant", text, thinking=text, calls=[
        {"name": text, "arguments": {text: text}, "result": text}], figures=text)})
view
""",
]


@pytest.fixture(scope="module")
def book(lab: Lab, browser: Browser) -> Iterator[Book]:
    with lab.open(browser, CELLS) as made:
        made.run()
        made.page.locator(".elfm-chat").wait_for()
        yield made
        assert made.errors == []


@pytest.mark.parametrize("name", NASTY)
def test_nothing_in_a_reply_runs_or_reaches_out(book: Book, name: str) -> None:
    text = NASTY[name]
    page = book.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    dialogs: list[Any] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog), dialog.dismiss()))
    book.execute(f"write({text!r}, {max(7, len(text) // 20)})", timeout=60)
    page.locator(".elfm-message.elfm-done").wait_for(timeout=120_000)
    for summary in page.locator(".elfm-message summary").all():
        summary.click()
    for link in page.locator(".elfm-message a").all():
        assert (link.get_attribute("href") or "").startswith(("https://", "http://", "mailto:"))
        assert "noopener" in (link.get_attribute("rel") or "")
    assert page.evaluate("window.harmed ?? null") is None
    assert dialogs == []
    inside = page.locator(".elfm-message")
    for tag in ("script", "img", "svg", "iframe", "object", "embed", "style", "form", "input", "math", "video", "link"):
        assert inside.locator(tag).count() == 0, tag
    assert page.evaluate(ATTRIBUTES) == []
    assert not [url for url in asked if "example.invalid" in url]
    # The page is alive and within its bounds.
    assert page.evaluate("1 + 1") == 2
    assert page.evaluate(
        "document.querySelector('.elfm-chat').scrollWidth <= document.querySelector('.elfm-chat').clientWidth + 1"
    )


def test_ordinary_markdown_is_shown_as_such(book: Book) -> None:
    text = (
        "# Title\n\nSome **bold** text and `code`.\n\n1. one\n2. two\n\n```python\nprint('hi')\n```\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n[a link](https://example.invalid/)"
    )
    book.execute(f"write({text!r}, 5)")
    body = book.page.locator(".elfm-message.elfm-done .elfm-body")
    body.get_by_text("a link").wait_for()
    assert body.locator("h1").inner_text() == "Title"
    assert body.locator("strong").inner_text() == "bold"
    assert body.locator("ol li").all_inner_texts() == ["one", "two"]
    assert body.locator("pre code").inner_text().strip() == "print('hi')"
    assert body.locator("pre code .hljs-built_in, pre code .hljs-string").count() > 0
    assert body.locator("td").all_inner_texts() == ["1", "2"]


def test_a_block_of_code_can_be_copied(book: Book) -> None:
    book.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    book.execute("write('Look:\\n\\n```python\\na = 1\\n\\nb = \"<x>\"\\n```\\n', 9)")
    book.page.locator(".elfm-message.elfm-done .elfm-body").get_by_text('b = "<x>"').wait_for()
    book.page.locator(".elfm-message.elfm-done .elfm-body .elfm-copy-code").click()
    book.page.get_by_role("button", name="Copied").or_(book.page.get_by_text("Copied")).first.wait_for()
    assert book.page.evaluate("navigator.clipboard.readText()") == 'a = 1\n\nb = "<x>"\n'


def test_text_while_it_streams_is_drawn_as_it_is_in_the_end(book: Book) -> None:
    """Block by block in the middle, all at once at the end: a person sees no jump."""
    text = "\n\n".join(f"## Part {n}\n\nA paragraph with *words* and\nanother line.\n\n- one\n- two" for n in range(20))
    book.execute(f"""
feed.put({{"op": "put", "key": "m", "message": message("assistant", state="writing")}}, {{"op": "path", "keys": ["m"]}})
for at in range(0, {len(text)}, 37):
    feed.text("m", "text", {text!r}[at : at + 37])
    feed.flush()
""")
    body = book.page.locator(".elfm-message .elfm-body")
    body.get_by_text("Part 19").wait_for()
    book.page.wait_for_function("document.querySelectorAll('.elfm-message .elfm-body li').length === 40")
    streaming = body.inner_text()
    book.execute(f"write({text!r}, 100000)")
    book.page.locator(".elfm-message.elfm-done").wait_for()
    assert body.inner_text().split() == streaming.replace("▍", "").split()


def test_a_gap_in_the_messages_is_mended(book: Book, open_book: Callable[..., Book]) -> None:
    book.execute("""
write("before", 3)
said, view.send = view.send, lambda content: None   # one message is lost on the way
feed.put({"op": "put", "key": "m", "message": message("assistant", "lost")})
view.send = said
feed.text("m", "text", " and found")
feed.flush()
""")
    book.page.locator(".elfm-body").get_by_text("lost and found").wait_for()
