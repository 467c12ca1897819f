"""The monitor in a real JupyterLab: what its page shows and does, and what the kernel does meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from edgelfm import Trace
from tests.lab import Book

CELLS = (
    "import edgelfm\nlfm = edgelfm.load('starter', context=1024, tune=False, progress=False)",
    "panel = lfm.monitor()\npanel",
)

#: Replies that write all their tokens, whatever the model would say.
NEVER_ENDING = """
from edgelfm.backends.endless import never_ending
endless = dict(max_tokens=300, seed=1, logit_bias=never_ending(lfm._session))
"""

#: One after another, until it is enough: however long a page takes to show that something is written, it is so.
TALKING = """
import threading
enough = threading.Event()

def talk():
    while not enough.is_set():
        for _ in lfm.stream('Tell me a long story.', **endless):
            if enough.is_set():
                break

talking = threading.Thread(target=talk)
talking.start()
"""

#: A cell that runs until the monitor has looked eight times meanwhile.
BUSY = """
replies, before = 0, len(panel.trace)
while len(panel.trace) < before + 8:
    lfm.chat('Tell me a long story.', **endless)
    replies += 1
"""


@pytest.fixture
def book(open_book: Callable[..., Book]) -> Book:
    opened = open_book(CELLS)
    opened.run()
    opened.page.locator(".elfm-monitor").wait_for()
    return opened


def until(true: Callable[[], object], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def dial(page: Any, name: str) -> Any:
    """One figure of the panel."""
    return page.get_by_role("region", name=name, exact=True).locator(".elfm-dial-figure")


def test_every_control(book: Book) -> None:
    page = book.page
    until(lambda: "MiB" in dial(page, "Memory of the process").inner_text())
    assert dial(page, "Decode").inner_text().startswith("–")

    book.execute(NEVER_ENDING)
    book.execute(TALKING)
    until(lambda: float(dial(page, "Decode").inner_text().split()[0].replace("–", "0")) > 0)
    until(lambda: "writing" in page.locator(".elfm-monitor-doing").inner_text())
    shown = page.get_by_role("img", name="Decode, the last minute").locator(".elfm-line").get_attribute("d")
    until(lambda: page.get_by_role("img", name="Decode").locator(".elfm-line").get_attribute("d") != shown)
    assert "predicted peak" in page.locator(".elfm-keys").inner_text()

    page.get_by_role("textbox", name="Note for the mark").fill("half way")
    page.keyboard.press("Enter")
    page.get_by_text("marked: half way").wait_for()
    assert "half way" in book.kernel("[event.note for event in panel.trace.events if event.kind == 'mark']")
    assert page.get_by_role("img", name="Decode").locator(".elfm-mark").get_attribute("d")

    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Resume").wait_for()
    assert page.get_by_role("button", name="Resume").get_attribute("aria-pressed") == "true"
    until(lambda: not book.kernel("panel.looking"))
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Pause").wait_for()
    until(lambda: book.kernel("panel.looking"))

    page.get_by_role("button", name="Save trace").click()
    until(lambda: "saved: " in page.locator(".elfm-monitor-said").inner_text())
    saved = page.locator(".elfm-monitor-said").inner_text().removeprefix("saved: ")
    assert Trace.read(saved).tokens

    book.execute("enough.set(); talking.join()")
    book.execute("lfm.close()")
    page.get_by_text("the model was closed").wait_for()
    assert page.get_by_role("button", name="Mark").is_disabled()


def test_unseen_it_is_idle(book: Book) -> None:
    page = book.page
    until(lambda: book.kernel("panel.looking"))
    hide = """seen => {
        const get = () => seen ? "visible" : "hidden";
        Object.defineProperty(document, "visibilityState", {get, configurable: true});
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(hide, False)
    until(lambda: not book.kernel("panel.looking"))
    count = book.kernel("len(panel.trace)")
    page.evaluate(hide, True)
    until(lambda: book.kernel("panel.looking"))
    until(lambda: book.kernel("len(panel.trace)") > count + 2)

    page.locator(".elfm-monitor").evaluate("one => { one.style.marginTop = '4000px'; }")
    until(lambda: not book.kernel("panel.looking"))
    page.locator(".elfm-monitor").evaluate("one => { one.style.marginTop = ''; }")
    until(lambda: book.kernel("panel.looking"))

    page.close()
    until(lambda: not book.kernel("panel.looking"))


def test_it_lives_while_a_cell_runs_and_fits_a_phone(open_book: Callable[..., Book]) -> None:
    book = open_book([*CELLS, NEVER_ENDING, BUSY])
    book.run()
    until(lambda: book.kernel("len(panel.trace.tokens) == 300 * replies"))
    decode = book.page.get_by_role("img", name="Decode").locator(".elfm-line")
    until(lambda: decode.get_attribute("d").count("L") > 4)
    panel = book.page.locator(".elfm-monitor")
    panel.evaluate("one => { one.style.width = '360px'; }")
    assert panel.evaluate("one => one.scrollWidth") <= 360
    for button in panel.get_by_role("button").all():
        box = button.bounding_box()
        outer = panel.bounding_box()
        assert box["x"] + box["width"] <= outer["x"] + outer["width"] + 1
