"""The same prompt to several models, side by side."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path

import pytest

import edgelfm
from edgelfm.errors import RequestError
from tests.lab import Book


def test_each_answers_with_its_own_figures() -> None:
    both = edgelfm.compare(
        [{"name": "starter", "context": 512, "tune": False}, {"name": "starter", "context": 1024, "tune": False}],
        temperature=0,
        max_tokens=8,
    )
    try:
        both.ask("What is the capital of France?")
        assert both.wait(60)
        one, other = both.replies
        assert one is not None
        assert other is not None
        assert one == other, "the same weights, greedy"
        assert (one.usage.context, other.usage.context) == (512, 1024)
        assert both.table.value.count("<tr>") == 3
        assert "tokens/s" in both.table.value
        static = both._repr_mimebundle_()["text/html"]
        assert html.escape(one.text) in static
    finally:
        both.close()
        both._worker.join(30)


def test_models_that_do_not_fit_together_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A board with room for one: the second load is refused until the first is freed."""
    from edgelfm import loading as module
    from edgelfm.errors import DoesNotFit

    opened: list[edgelfm.Model] = []
    load = module.load

    def on_a_small_board(**asked: object) -> edgelfm.Model:
        if any(not one._session._closed for one in opened):  # type: ignore[attr-defined]
            raise DoesNotFit("no room for two")
        opened.append(load(**asked))  # type: ignore[arg-type]
        return opened[-1]

    monkeypatch.setattr(module, "load", on_a_small_board)
    asked = {"name": "starter", "context": 512, "tune": False}
    both = edgelfm.compare([asked, asked], temperature=0, max_tokens=4)
    try:
        both.ask("Hello")
        assert both.wait(60)
        assert None not in both.replies
        assert len(opened) == 2
    finally:
        both.close()
        both._worker.join(30)
    assert all(one._session._closed for one in opened)  # type: ignore[attr-defined]


@pytest.mark.parametrize("models", [[], ["starter"], "starter", {"name": "starter"}, Path("model.gguf")])
def test_one_alone_cannot_be_compared(models: object) -> None:
    with pytest.raises(RequestError, match="nothing to compare") as caught:
        edgelfm.compare(models)  # type: ignore[arg-type]
    assert "edgelfm.compare([" in caught.value.hint


def test_in_a_page(open_book: Callable[..., Book]) -> None:
    book = open_book([
        "import edgelfm\n"
        "starter = {'name': 'starter', 'context': 512, 'tune': False}\n"
        "both = edgelfm.compare([starter, starter], max_tokens=600, temperature=0)\n"
        "both"
    ])  # fmt: skip
    book.run()
    page = book.page
    page.get_by_text("is loaded with the first prompt").first.wait_for()
    page.get_by_placeholder("Ask all of them").fill("What is the capital of France?")
    page.get_by_role("button", name="Ask", exact=True).click()
    page.locator(".elfm-compare tbody tr").nth(1).wait_for()
    done = page.locator(".elfm-assistant.elfm-done .elfm-body")
    done.nth(1).wait_for()
    replies = done.all_inner_texts()
    assert len(replies) == 2
    assert replies[0] == replies[1]
    assert [" ".join(one.split()) for one in replies] == [
        " ".join(one.split()) for one in book.kernel("[r.text for r in both.replies]")
    ]
    page.get_by_placeholder("Ask all of them").fill("Tell me a long story.")
    page.get_by_role("button", name="Ask", exact=True).click()
    page.locator(".elfm-writing .elfm-block").first.wait_for()
    page.get_by_role("button", name="Stop", exact=True).click()
    book.until("not both.button.disabled")
    assert book.kernel("both.replies[0].finish_reason") == "cancelled"
    assert book.kernel("both.replies[1] is None")
