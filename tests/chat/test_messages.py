from __future__ import annotations

from typing import Any

import pytest

from edgelfm.chat.messages import Message, read_messages
from edgelfm.errors import RequestError


def test_a_text_is_a_message_of_the_user() -> None:
    assert read_messages("Hi", system="Be brief.") == [Message("system", "Be brief."), Message("user", "Hi")]


def test_dictionaries_and_messages_mix() -> None:
    given = [{"role": "user", "content": "a"}, Message("assistant", "b"), {"role": "user", "content": "c"}]
    assert [m.content for m in read_messages(given)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("messages", "system", "said"),
    [
        ([], None, "nothing to answer"),
        ([{"role": "system", "content": "x"}], None, "nothing to answer"),
        ([{"role": "human", "content": "x"}], None, "message 0 has the role 'human'"),
        ([{"content": "x"}], None, "message 0 has the role None"),
        ([{"role": "user", "content": ["x"]}], None, "content of message 0 is list"),
        ([{"role": "user", "content": "a"}, 3], None, "message 1 is a int"),
        ([{"role": "system", "content": "a"}, {"role": "user", "content": "b"}], "c", "two system prompts"),
    ],
)
def test_a_wrong_message_is_named(messages: Any, system: str | None, said: str) -> None:
    with pytest.raises(RequestError, match=said) as caught:
        read_messages(messages, system=system)
    assert caught.value.hint
