"""How likely each token was, and how to make some likelier, as a caller of a chat sees it."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelfm.chat.conversation import Conversation
from edgelfm.chat.engine import Engine
from edgelfm.chat.reply import Reply
from edgelfm.errors import RequestError

MakeEngine = Callable[..., Engine]
THINKS = "{{ messages[0].content }}"


def ask(engine: Engine, text: str, **given: object) -> Reply:
    return Conversation(engine).send(text, temperature=0, **given)


def test_a_reply_says_how_likely_each_of_its_tokens_was(starter_path: Path, engine: MakeEngine) -> None:
    made = engine(starter_path)
    reply = ask(made, "Why is the sky blue?", max_tokens=12, repetition_penalty=1, logprobs=3)
    assert len(reply.logprobs) == reply.usage.completion_tokens == 12
    assert b"".join(one.piece for one in reply.logprobs).decode() == reply
    for one in reply.logprobs:
        assert len(one.top) == 3
        assert one.top[0] == (one.id, one.piece, one.logprob)  # greedy takes the likeliest
        assert one.logprob < 0


def test_thinking_and_markers_have_theirs_too(starter_path: Path, engine: MakeEngine) -> None:
    made = engine(starter_path, chat_template=THINKS)
    reply = ask(made, "<think>I count: one, two, three,", max_tokens=10, logprobs=0)
    assert len(reply.logprobs) == 10
    assert all(one.top == () for one in reply.logprobs)


def test_nothing_is_reported_unless_asked(starter_path: Path, engine: MakeEngine) -> None:
    assert ask(engine(starter_path), "Hello", max_tokens=3).logprobs == ()


def test_a_pickled_reply_keeps_them(starter_path: Path, engine: MakeEngine) -> None:
    reply = ask(engine(starter_path), "Hello", max_tokens=3, logprobs=1)
    again = pickle.loads(pickle.dumps(reply))
    assert (again, again.logprobs, again.usage) == (reply, reply.logprobs, reply.usage)


def test_a_banned_token_is_never_written_and_a_bias_does_not_change_what_is_reported(
    starter_path: Path, engine: MakeEngine
) -> None:
    made = engine(starter_path)
    free = ask(made, "Why is the sky blue?", max_tokens=2, logprobs=2)
    first = free.logprobs[0]
    other = ask(made, "Why is the sky blue?", max_tokens=2, logprobs=2, logit_bias={first.id: -math.inf})
    assert other.logprobs[0].id == first.top[1][0]
    assert other.logprobs[0].top == first.top


def test_a_bias_may_name_a_token_by_its_text(starter_path: Path, engine: MakeEngine) -> None:
    made = engine(starter_path)
    assert ask(made, "Hello", max_tokens=3, logit_bias={" sun": 100}) == " sun sun sun"
    with pytest.raises(RequestError, match="is 2"):
        ask(made, "Hello", logit_bias={"hello world": 1})
