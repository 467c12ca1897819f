"""The playground in a real JupyterLab and a real browser: every control, and what the kernel holds after it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.lab import Book

OpenBook = Callable[..., Book]

LOADED = [
    "import edgelfm\nlfm = edgelfm.load('starter', context=2048, progress=False, tune=False)",
    "pg = edgelfm.playground(lfm)\npg.sampling.temperature.value = 0\npg.sampling.max_tokens.value = 30\npg",
]

#: Replies that go on until they are stopped, whatever the model would say.
ENDLESS = """
from edgelfm.backends.endless import never_ending
endless = dict(max_tokens=1500, seed=1, logit_bias=never_ending(lfm._session))
pg.view.desk._options = lambda: endless
"""


#: A prompt that takes as long to read as twenty looks for somebody who is still there, from when all was heard.
LONG_PROMPT = """
import threading, time
feed, prefill, beat = pg.view.desk.feed, lfm._session._prefill, pg.view.desk.feed._beat
looks, looked = 0, threading.Semaphore(0)

def counted(then):
    beat(lambda: (then(), looked.release()))

def long(prompt, cancel):
    global looks
    while feed._acked < feed._seq:
        time.sleep(0.01)
    feed._beat, feed._beat_seconds = counted, 0.05
    while looks < 20 and looked.acquire(timeout=60):
        looks += 1
    feed._beat, feed._beat_seconds = beat, 1.0
    return prefill(prompt, cancel)

lfm._session._prefill = long
"""


class Chat:
    """The chat on a page, as a person uses it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.root = page.locator(".elfm-chat").first
        self.message = self.root.get_by_role("textbox", name="Message")

    def send(self, text: str, *, wait: bool = True) -> None:
        replies = self.root.locator(".elfm-assistant").count()
        self.message.fill(text)
        self.message.press("Enter")
        if wait:
            self.root.locator(".elfm-assistant.elfm-done").nth(replies).wait_for()
            self.idle()

    def idle(self) -> None:
        self.root.get_by_role("button", name="Send").wait_for()

    def button(self, name: str) -> Any:
        return self.root.get_by_role("button", name=name)

    @property
    def texts(self) -> list[str]:
        return [one.strip() for one in self.root.locator(".elfm-body").all_inner_texts()]


def in_kernel(book: Book) -> list[str]:
    """What the conversation holds, with the white space that a page does not show taken out."""
    return [" ".join(one.split()) for one in book.kernel("[m.content for m in pg.conversation.messages]")]


def on_page(chat: Chat) -> list[str]:
    return [" ".join(one.split()) for one in chat.texts]


@pytest.fixture
def book(open_book: OpenBook) -> Book:
    made = open_book(LOADED)
    made.run()
    return made


@pytest.fixture
def chat(book: Book) -> Chat:
    return Chat(book.page)


def test_send_and_see_the_reply_with_its_figures(book: Book, chat: Chat) -> None:
    chat.send("What is the capital of France?")
    assert on_page(chat)[0] == in_kernel(book)[0] == "What is the capital of France?"
    assert on_page(chat)[1] == in_kernel(book)[1]
    foot = chat.root.locator(".elfm-figures").inner_text()
    assert re.search(r"\d+ tokens · [\d.]+ tokens/s · first token after \d+ m?s · prompt \d+ .*context \d+/2048", foot)
    assert re.search(r"SmolLM2.* of 2,048 tokens", chat.root.locator(".elfm-title").inner_text())


def test_stop_ends_the_reply_and_keeps_it(book: Book, chat: Chat) -> None:
    book.execute(ENDLESS)
    chat.send("Tell me a very long story about a fox.", wait=False)
    chat.root.locator(".elfm-writing .elfm-block").first.wait_for()
    chat.button("Stop the reply").click()
    chat.idle()
    assert book.kernel("pg.view.desk.reply.finish_reason") == "cancelled"
    assert len(book.kernel("pg.conversation.messages[-1].content")) > 0
    # Escape does the same, from the keyboard.
    chat.send("And another one.", wait=False)
    chat.root.locator(".elfm-writing .elfm-block").first.wait_for()
    chat.message.press("Escape")
    chat.idle()
    assert book.kernel("pg.view.desk.reply.finish_reason") == "cancelled"


def test_edit_regenerate_and_walk_between_versions(book: Book, chat: Chat) -> None:
    # A few plain words, each time others: whatever a hot model writes may be Markdown, which a page does not show.
    book.execute("""
words = [lfm._session.tokenize(word, special=False)[0] for word in (" one", " two", " three", " four", " five")]
pg.view.desk._options = lambda: dict(max_tokens=12, temperature=3.0, logit_bias=dict.fromkeys(words, 100.0))
""")
    chat.send("Say something.")
    first = on_page(chat)[1]
    chat.button("Answer again").click()
    chat.root.get_by_role("group", name="Version 2 of 2").wait_for()
    chat.idle()
    assert on_page(chat)[1] == in_kernel(book)[1]
    chat.button("The version before").click()
    chat.root.get_by_role("group", name="Version 1 of 2").wait_for()
    assert on_page(chat)[1] == in_kernel(book)[1] == first

    chat.button("Edit this message").click()
    editor = chat.root.get_by_role("textbox", name="Edit the message")
    assert editor.input_value() == "Say something."
    editor.fill("Say nothing.")
    editor.press("Enter")
    chat.root.get_by_role("group", name="Version 2 of 2").wait_for()
    chat.idle()
    assert on_page(chat) == in_kernel(book)
    assert on_page(chat)[0] == "Say nothing."
    assert book.kernel("len(pg.conversation.tree.leaves())") == 3


def test_branch_from_a_reply(book: Book, chat: Chat) -> None:
    chat.send("What is the capital of France?")
    chat.send("And of Italy?")
    chat.button("Go on from here another way").click()
    chat.root.locator(".elfm-user").nth(1).wait_for(state="detached")
    chat.send("And of Spain?")
    assert on_page(chat) == in_kernel(book)
    assert on_page(chat)[2] == "And of Spain?"
    chat.button("The version before").first.click()
    chat.root.get_by_text("And of Italy?").wait_for()
    assert on_page(chat) == in_kernel(book)


def test_an_edit_that_is_cancelled_changes_nothing(book: Book, chat: Chat) -> None:
    chat.send("Hello")
    before = on_page(chat)
    chat.message.press("ArrowUp")  # edits the last question
    editor = chat.root.get_by_role("textbox", name="Edit the message")
    editor.fill("Goodbye")
    editor.press("Escape")
    assert on_page(chat) == before == in_kernel(book)


def test_export_gives_files_that_go_on_with_the_chat(book: Book, chat: Chat, tmp_path: Any) -> None:
    chat.send("What is the capital of France?")
    with book.page.expect_download() as waiting:
        chat.button("Save this chat as JSON").click()
    path = tmp_path / "chat.json"
    waiting.value.save_as(path)
    said = [one["content"] for one in json.loads(path.read_text())["messages"]]
    assert said == book.kernel("[m.content for m in pg.conversation.messages]")
    with book.page.expect_download() as waiting:
        chat.button("Save this chat as a Python script").click()
    script = tmp_path / "chat.py"
    waiting.value.save_as(script)
    compile(script.read_text(), "chat.py", "exec")
    assert repr(said[1]) in script.read_text()


def test_sampling_begins_at_the_preset_and_what_is_moved_is_used(book: Book, chat: Chat) -> None:
    book.execute("pg.sampling.show(None)")
    temperature = book.page.get_by_role("slider").first
    assert book.kernel("pg.sampling.options()") == {}
    temperature.focus()
    temperature.press("ArrowRight")
    book.page.wait_for_function("document.activeElement !== null")
    book.page.get_by_label("Max tokens").fill("4")
    book.page.get_by_label("Max tokens").press("Tab")
    chat.send("Tell me a long story.")
    options = book.kernel("pg.sampling.options()")
    assert options["max_tokens"] == 4
    assert options["temperature"] == pytest.approx(book.kernel("lfm.entry.sampling.temperature") + 0.05)
    assert book.kernel("pg.view.desk.reply.usage.completion_tokens") == 4
    book.page.get_by_role("button", name="Back to the model's preset").click()
    chat.send("And another?", wait=False)
    book.until("pg.sampling.options() == {}")
    chat.button("Stop the reply").click()
    chat.idle()


def test_the_system_prompt_holds_from_the_next_new_chat_on(book: Book, chat: Chat) -> None:
    book.page.get_by_role("button", name="System prompt").click()
    book.page.get_by_placeholder("What the model is told").fill("You are a pirate.")
    book.page.get_by_placeholder("What the model is told").press("Tab")
    chat.button("Begin a new chat").click()
    chat.root.get_by_text("You are a pirate.").wait_for()
    chat.send("Hello")
    assert in_kernel(book)[0] == "You are a pirate."
    assert on_page(chat) == in_kernel(book)


def test_a_model_is_chosen_and_loaded_with_progress(open_book: OpenBook) -> None:
    book = open_book(["import edgelfm\npg = edgelfm.playground(context=2048)\npg"])
    book.run()
    chat = Chat(book.page)
    chat.root.get_by_text("Choose a model and load it.").wait_for()
    assert chat.message.is_disabled()
    book.page.get_by_label("Model").select_option(
        label=book.page.get_by_label("Model").locator("option").last.inner_text()
    )
    book.page.get_by_role("button", name="Load", exact=True).click()
    book.page.get_by_text("Loaded in").wait_for()
    book.page.get_by_text("Weights: Apache License 2.0").wait_for()
    assert book.kernel("pg.model.entry.id") == "starter"
    book.execute("pg.sampling.max_tokens.value = 5")
    chat.send("Hello")
    assert on_page(chat) == in_kernel(book)
    # The same again frees the first.
    book.execute("first = pg.model")
    book.page.get_by_role("button", name="Load", exact=True).click()
    book.until("pg.model is not None and pg.model is not first")
    book.page.wait_for_function("document.querySelectorAll('.elfm-message').length === 0")
    assert book.kernel("first._session._closed")


def test_the_kernel_can_be_used_while_a_reply_streams(book: Book, chat: Chat) -> None:
    book.execute(ENDLESS)
    chat.send("Tell me a very long story.", wait=False)
    chat.root.locator(".elfm-writing .elfm-block").first.wait_for()
    assert book.kernel("1 + 1") == 2
    assert book.kernel("pg.view.desk.busy")
    chat.button("Stop the reply").click()
    chat.idle()


def test_two_tabs_on_one_kernel_show_the_same(book: Book, chat: Chat) -> None:
    chat.send("What is the capital of France?")
    book.page.get_by_title("Save and create checkpoint").or_(
        book.page.locator('[data-command="docmanager:save"]')
    ).first.click()
    other = book.page.context.new_page()
    other.goto(book.url.replace("&reset", ""))
    second = Chat(other)
    second.root.get_by_text("What is the capital of France?").wait_for()
    assert on_page(second) == on_page(chat)
    book.execute("pg.view.desk._options = lambda: dict(max_tokens=60, seed=1)")
    second.send("And of Italy?")
    chat.root.get_by_text("And of Italy?").wait_for()
    chat.idle()
    assert on_page(chat) == on_page(second) == in_kernel(book)
    assert book.kernel("pg.view.desk.feed.views") == 2
    other.close()
    chat.send("Thanks.")
    assert on_page(chat) == in_kernel(book)


def test_a_tab_that_is_closed_midway_leaves_nothing_running(book: Book, chat: Chat) -> None:
    book.execute(ENDLESS)
    book.execute("pg.view.desk.feed._beat_seconds = 0.1")
    chat.send("Tell me a very long story.", wait=False)
    chat.root.locator(".elfm-writing .elfm-block").first.wait_for()
    book.page.close()
    book.until("not pg.view.desk.busy")
    assert book.kernel("pg.view.desk.reply.finish_reason") == "cancelled"
    assert book.kernel("[t.name for t in __import__('threading').enumerate() if 'edgelfm-feed' in t.name]") == []


def test_a_page_that_looks_on_is_waited_for_through_a_long_prompt(book: Book, chat: Chat) -> None:
    """Nothing is sent while a prompt is read, so nothing is answered; that is not somebody who has gone."""
    book.execute(LONG_PROMPT)
    chat.send("Remember this.")
    assert book.kernel("looks") == 20  # ten in a row that find nobody are enough
    assert book.kernel("pg.view.desk.reply.finish_reason") != "cancelled"


def test_a_kernel_that_is_interrupted_midway_goes_on(book: Book, chat: Chat) -> None:
    book.execute(ENDLESS)
    chat.send("Tell me a very long story.", wait=False)
    chat.root.locator(".elfm-writing .elfm-block").first.wait_for()
    book.lab.api(f"kernels/{book.kernel_id}/interrupt", "POST")
    assert book.kernel("1 + 1") == 2
    chat.button("Stop the reply").click()
    chat.idle()
    assert on_page(chat) == in_kernel(book)


def test_a_kernel_that_is_restarted_midway_comes_back_without_the_model(book: Book, chat: Chat) -> None:
    import psutil

    book.execute(ENDLESS)
    process = psutil.Process(book.kernel("__import__('os').getpid()"))
    chat.send("Tell me a very long story.", wait=False)
    chat.root.locator(".elfm-writing .elfm-block").first.wait_for()
    book.restart()
    assert not process.is_running()
    assert book.kernel("'pg' in globals()") is False
    chat.root.wait_for(state="detached")  # JupyterLab takes widgets of the old kernel off the page
    book.run()
    chat.send("Hello")
    assert on_page(chat) == in_kernel(book)


def test_it_can_be_used_from_the_keyboard_and_read_aloud(book: Book, chat: Chat) -> None:
    chat.send("Hello")
    log = chat.root.get_by_role("log", name="Conversation")
    assert log.get_attribute("aria-live") == "polite"
    assert chat.root.locator(".elfm-assistant").get_attribute("aria-busy") == "false"
    chat.message.focus()
    names = []
    for _ in range(12):
        book.page.keyboard.press("Shift+Tab")
        names.append(
            book.page.evaluate(
                "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"
            )
        )
    for wanted in ("Answer again; this answer is kept", "Copy this reply", "Edit this message", "Begin a new chat"):
        assert wanted in names
    outline = book.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"


def test_it_fits_a_phone(open_book: OpenBook) -> None:
    book = open_book(LOADED)
    book.run()
    chat = Chat(book.page)
    chat.send("Hello")
    book.page.set_viewport_size({"width": 700, "height": 800})
    box = chat.root.bounding_box()
    assert box is not None
    wide = book.page.evaluate(
        "document.querySelector('.elfm-chat').scrollWidth - document.querySelector('.elfm-chat').clientWidth"
    )
    assert wide <= 1
    assert box["x"] >= 0
