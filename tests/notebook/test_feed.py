"""Numbered changes on their way to a page: joined, in order, few, and never for nobody."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from edgelfm.notebook.feed import Feed

WRITING = {"op": "put", "key": "m1", "message": {"role": "assistant", "text": "", "thinking": ""}}
PATH = {"op": "path", "keys": ["m1"]}


class Page:
    """What a page makes of the messages: the same document, or it notices that one is missing."""

    def __init__(self) -> None:
        self.heard: list[Mapping[str, Any]] = []
        self.seq = 0
        self.messages: dict[str, Any] = {}
        self.gaps = 0
        self.something = threading.Event()

    def __call__(self, said: Mapping[str, Any]) -> None:
        self.heard.append(said)
        if said["kind"] == "snapshot":
            self.messages = {key: dict(one) for key, one in said["document"]["messages"].items()}
        else:
            self.gaps += said["seq"] != self.seq + 1
            for op in said["ops"]:
                if op["op"] == "put":
                    self.messages[op["key"]] = dict(op["message"])
                elif op["op"] == "text":
                    self.messages[op["key"]][op["part"]] += op["add"]
        self.seq = said["seq"]
        self.something.set()


@pytest.fixture
def page() -> Page:
    return Page()


def test_pieces_of_a_text_are_joined_into_few_messages(page: Page) -> None:
    feed = Feed(page, interval=60)  # then a slow machine cannot make them more
    feed.hello("a")
    feed.put(WRITING, PATH)
    feed.start()
    for number in range(2000):
        feed.text("m1", "text", f"{number} ")
    feed.stop()
    assert page.messages["m1"]["text"] == "".join(f"{number} " for number in range(2000))
    assert page.gaps == 0
    assert len(page.heard) <= 4, "the whole, a new message, what there was at first, and the rest at the end"


def test_thinking_and_text_keep_their_order(page: Page) -> None:
    feed = Feed(page)
    feed.hello("a")
    feed.put(WRITING, PATH)
    for part, add in (("thinking", "so"), ("thinking", " so"), ("text", "Yes"), ("text", ".")):
        feed.text("m1", part, add)
    feed.flush()
    assert page.heard[-1]["ops"] == [
        {"op": "text", "key": "m1", "part": "thinking", "add": "so so"},
        {"op": "text", "key": "m1", "part": "text", "add": "Yes."},
    ]


def test_nothing_is_sent_before_somebody_looks_and_then_the_whole(page: Page) -> None:
    feed = Feed(page)
    feed.put(WRITING, PATH)
    feed.text("m1", "text", "Hello")
    feed.flush()
    assert page.heard == []
    feed.hello("a")
    assert [said["kind"] for said in page.heard] == ["snapshot"]
    assert page.messages["m1"]["text"] == "Hello"


def test_a_second_view_gets_the_whole_in_the_middle_and_both_go_on(page: Page) -> None:
    feed = Feed(page)
    feed.hello("a")
    feed.put(WRITING, PATH)
    feed.text("m1", "text", "Hel")
    feed.hello("b")
    feed.text("m1", "text", "lo")
    feed.flush()
    assert feed.views == 2
    assert page.messages["m1"]["text"] == "Hello"
    assert page.gaps == 0


def test_messages_that_are_not_shown_any_more_are_forgotten(page: Page) -> None:
    feed = Feed(page)
    feed.put(WRITING, {**WRITING, "key": "m2"}, {"op": "path", "keys": ["m2"]})
    assert list(feed.document()["messages"]) == ["m2"]


def test_text_of_a_message_that_is_gone_does_no_harm(page: Page) -> None:
    feed = Feed(page)
    feed.text("m9", "text", "late")
    feed.flush()
    assert feed.document()["messages"] == {}


def streaming_until_abandoned(feed: Feed, abandoned: threading.Event) -> None:
    feed.put(WRITING, PATH)
    feed.start()
    while not abandoned.is_set():
        feed.text("m1", "text", "x")
        abandoned.wait(0.001)
    feed.stop()


def test_a_reply_that_no_view_answers_for_is_abandoned(page: Page) -> None:
    abandoned = threading.Event()
    feed = Feed(page, on_abandoned=abandoned.set, interval=0.005, beat_seconds=0.01, patience=3)
    feed.hello("a")
    streaming_until_abandoned(feed, abandoned)
    assert abandoned.is_set()


def test_so_is_one_whose_views_have_said_goodbye(page: Page) -> None:
    abandoned = threading.Event()
    feed = Feed(page, on_abandoned=abandoned.set, interval=0.005, beat_seconds=0.01, patience=3)
    feed.hello("a")
    feed.goodbye("a")
    streaming_until_abandoned(feed, abandoned)
    assert abandoned.is_set()


def test_a_view_that_answers_keeps_it_going(page: Page) -> None:
    abandoned, beats = threading.Event(), []

    def beat(then: Any) -> None:
        feed.ack("a", 1 << 30)  # the page has heard everything so far
        beats.append(then)
        then()

    feed = Feed(page, beat=beat, on_abandoned=abandoned.set, interval=0.002, beat_seconds=0.004, patience=3)
    feed.hello("a")
    feed.put(WRITING, PATH)
    feed.start()
    while len(beats) < 12:
        feed.text("m1", "text", "x")
        abandoned.wait(0.001)
    feed.stop()
    assert not abandoned.is_set()


def test_silence_means_nothing_while_the_thread_that_hears_is_busy(page: Page) -> None:
    """A cell runs: answers of the page lie in the line, and so does the beat."""
    abandoned, asked = threading.Event(), threading.Event()
    feed = Feed(
        page, beat=lambda then: asked.set(), on_abandoned=abandoned.set, interval=0.002, beat_seconds=0.004, patience=1
    )
    feed.hello("a")
    feed.put(WRITING, PATH)
    feed.start()
    feed.text("m1", "text", "x")
    assert asked.wait(10)
    feed.stop()
    assert not abandoned.is_set()


def test_a_reply_without_any_view_is_written_to_its_end(page: Page) -> None:
    """As in a notebook that is run by a program."""
    abandoned, beats = threading.Event(), []

    def beat(then: Any) -> None:
        beats.append(then)
        then()

    feed = Feed(page, beat=beat, on_abandoned=abandoned.set, interval=0.002, beat_seconds=0.004, patience=2)
    feed.put(WRITING, PATH)
    feed.start()
    while len(beats) < 6:
        feed.text("m1", "text", "x")
        abandoned.wait(0.001)
    feed.stop()
    assert not abandoned.is_set()


def test_stop_ends_the_thread_and_sends_what_is_left(page: Page) -> None:
    before = set(threading.enumerate())
    feed = Feed(page, interval=60)
    feed.hello("a")
    feed.put(WRITING, PATH)
    feed.start()
    feed.text("m1", "text", "the end")
    feed.stop()
    assert page.messages["m1"]["text"] == "the end"
    assert {one for one in threading.enumerate() if one.name == "edgelfm-feed"} <= before
