"""Conversations in `async` code: the same verbs, the same tree."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import edgelfm
from edgelfm.aio import AsyncConversation, AsyncStream
from edgelfm.chat.conversation import Conversation
from edgelfm.errors import RequestError

SHORT = {"temperature": 0, "max_tokens": 6}


@pytest.fixture(scope="module")
def lfm() -> Iterator[edgelfm.Model]:
    with edgelfm.load("starter", context=1024, progress=False) as model:
        yield model


def public(one: type) -> dict[str, Callable]:
    return {name: verb for name, verb in inspect.getmembers(one, inspect.isfunction) if not name.startswith("_")}


@pytest.mark.parametrize("name", sorted(public(Conversation)))
def test_every_verb_has_its_twin(name: str) -> None:
    own, twin = public(Conversation)[name], public(AsyncConversation)[name]
    assert list(inspect.signature(own).parameters) == list(inspect.signature(twin).parameters)


def test_going_back_and_another_way(lfm: edgelfm.Model) -> None:
    async def main() -> None:
        talk = lfm.aio.conversation(system="Be brief.")
        await talk.send("Name a colour.", **SHORT)
        await talk.send("Name a town.", **SHORT)
        first = talk.node
        assert first is not None
        again = await talk.regenerate(**SHORT)
        assert again == first.message.content
        assert again.usage.prompt_tokens - again.usage.cached_tokens < 20
        assert len(talk.branches().answers) == 2
        stream = talk.edit_stream(0, "Name a tree.", **SHORT)
        assert "".join([text async for text in stream]) == await stream.reply()
        assert [m.role for m in talk.messages] == ["system", "user", "assistant"]
        assert talk.context_used > 0
        other = talk.fork()
        await other.edit(-1, "Name a river.", **SHORT)
        talk.switch(first)
        assert len(talk.messages) == 5
        talk.undo()
        assert len(talk.messages) == 3
        assert "Name a colour." in repr(talk)
        assert len(other.tree) == 5
        talk.reset()
        assert len(talk.tree) == 1

    asyncio.run(main())


def test_it_survives_in_a_file(lfm: edgelfm.Model, tmp_path: Path) -> None:
    async def main() -> None:
        talk = lfm.aio.conversation(system="Be brief.")
        await talk.send("Name a colour.", **SHORT)
        await talk.edit(0, "Name a town.", **SHORT)
        await talk.save(tmp_path / "talk.json")
        again = await lfm.aio.resume(tmp_path / "talk.json")
        assert again.resumed is not None
        assert [m.content for m in again.messages] == [m.content for m in talk.messages]
        assert len(again.tree) == len(talk.tree)

    asyncio.run(main())


def test_regenerating_ends_the_reply_that_another_thread_computes(lfm: edgelfm.Model) -> None:
    async def main() -> None:
        talk = lfm.aio.conversation()
        stream = talk.stream("Tell me a long story.", temperature=0)
        async for _ in stream:
            break
        reply = await talk.regenerate(**SHORT)
        assert reply
        assert [node.message.content for node in talk.branches().answers][1] == reply
        assert (await stream.reply()).finish_reason == "cancelled"

    asyncio.run(main())


def test_an_error_comes_out_where_it_is_awaited(lfm: edgelfm.Model) -> None:
    talk = lfm.aio.conversation()
    with pytest.raises(RequestError, match="nothing has been said"):
        asyncio.run(talk.edit(0, "Hi"))
    assert isinstance(talk.regenerate_stream(), AsyncStream)
