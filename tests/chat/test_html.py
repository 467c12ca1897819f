"""Replies and conversations in a notebook. What a model writes is never markup."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgelfm.backends.base import Timings
from edgelfm.chat.conversation import Conversation
from edgelfm.chat.engine import Engine
from edgelfm.chat.messages import Message
from edgelfm.chat.reply import Reply, Usage
from edgelfm.chat.tree import Branches, Tree
from tests.html_checks import HOSTILE, look, plain


def reply(text: str, thinking: str = "", model: str = "lfm2.5-1.2b-instruct") -> Reply:
    return Reply(
        text,
        thinking=thinking,
        usage=Usage(42, 30, 120, 4096),
        timings=Timings(42, 30, 120, 0.1, 2.975, 0.12),
        finish_reason="length",
        model=model,
    )


def test_a_reply_is_its_text_and_below_it_the_figures() -> None:
    shown = reply("Because *air*\n\n    scatters.", thinking="Let me see.")
    page = look(shown)
    assert "Because *air* scatters." in page.text, "Markdown is left as it was written"
    assert "Because *air*<br><br>&nbsp;&nbsp;&nbsp;&nbsp;scatters." in shown._repr_mimebundle_()["text/html"]
    for figure in ("120 tokens", "40.0 tokens/s", "first token after 120 ms", "prompt 42 (30 cached)", "162/4096"):
        assert figure in page.text
    assert "ThinkingLet me see." in page.text.replace(" Let", "Let")
    assert plain(shown) == f"Because *air*\n\n    scatters.\n\n{shown.summary()}"


def test_a_reply_is_a_string_for_everything_else() -> None:
    assert repr(reply("yes")) == "'yes'"
    assert "details" not in look(reply("yes")).seen
    assert "(no text)" in look(reply(" ")).text


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_model_wrote_is_text(text: str) -> None:
    page = look(reply(text, thinking=text, model=text))
    assert page.seen <= {"div", "style", "details", "summary", "p", "small", "br"}
    tree = Tree.of([Message("user", text), Message("assistant", text)])
    for shown in (tree, Message("user", text)):
        assert not look(shown).seen & {"a", "i", "code"}


def test_a_very_long_reply_is_shown_whole_and_very_long_thinking_is_not() -> None:
    text = "word " * 20_000
    assert look(reply(text)).text.count("word") == 20_000
    assert 3_000 < look(reply("x", thinking=text)).text.count("word") <= 4_000


def test_a_conversation_shows_its_branch_and_where_others_leave(engine: Callable[..., Engine], tiny_path: Path) -> None:
    made = engine(tiny_path)
    talk = Conversation(made, system="Be <b>kind</b>.")
    assert "nothing has been said yet" in look(Conversation(made)).text
    talk.send("Why?", max_tokens=4, seed=1)
    talk.edit(0, "Why <i>not</i>?", max_tokens=4, seed=1)
    page = look(talk)
    assert "Conversation with" in page.text
    assert "system Be <b>kind</b>." in page.text
    assert "0 user 2 of 2 Why <i>not</i>?" in page.text
    assert "2 branches; a star marks this one" in page.text
    assert "turn 0 user Why?" in page.text
    assert plain(talk) == repr(talk)
    assert "5 messages 2 branches" in look(talk.tree).text
    assert "question 2/2 here" in look(talk.branches(0)).text
    assert "* question 2/2" in plain(talk.branches(0))


def test_a_long_conversation_shows_its_end() -> None:
    tree = Tree.of([Message("user" if n % 2 == 0 else "assistant", f"message {n}, " + "x" * 900) for n in range(60)])
    page = look(tree)
    assert "44 messages before these" in page.text
    assert "message 43," not in page.text
    assert "message 44," in page.text
    assert "29 assistant" not in page.text
    assert len(tree._repr_mimebundle_()["text/html"]) < 25_000


def test_hundreds_of_branches_are_not_all_listed() -> None:
    tree = Tree()
    for number in range(300):
        tree.add(Message("user", f"way {number}"), None)
    assert "300 branches" in look(tree).text
    assert len(tree._repr_mimebundle_()["text/html"]) < 15_000


def test_versions_of_a_turn_without_an_answer() -> None:
    tree = Tree.of([Message("user", "one")])
    node = tree.path()[0]
    assert "question 1/1 here" in look(Branches((node,), node, (), None)).text
    assert replace(node.message, content="two") != node.message
