"""Against llama.cpp's own server with a model that really chats."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgelfm
from edgelfm.errors import ContextExceeded, RequestError, UnknownModel
from edgelfm.remote_model import RemoteModel
from tests.llama_server import llama_server


@pytest.fixture(scope="module")
def address(starter_path: Path) -> Iterator[str]:
    with llama_server(starter_path) as url:
        yield url


@pytest.fixture(scope="module")
def lfm(address: str) -> Iterator[RemoteModel]:
    with edgelfm.connect(address) as model:
        yield model  # type: ignore[misc]


def test_it_is_known_for_what_it_is(lfm: RemoteModel) -> None:
    assert lfm.server.kind == "llama.cpp"
    assert lfm.context == 512
    assert lfm.entry.id == "starter"
    assert lfm.served.bytes > 50_000_000
    assert "llama-server" in repr(lfm)
    assert "512 tokens" in lfm._repr_mimebundle_()["text/html"]


def test_it_sees_the_prompt_and_thinks_what_the_same_weights_think_here(lfm: RemoteModel) -> None:
    """Another build rounds otherwise, so texts part after some words; the first token's probability is the same."""
    with edgelfm.load("starter", context=512, tune=False, progress=False) as here:
        options = {"temperature": 0, "repetition_penalty": 1, "max_tokens": 1, "logprobs": 0}
        there_said, here_said = (one.chat("Name a river.", system="Be brief.", **options) for one in (lfm, here))
    assert there_said.usage.prompt_tokens == here_said.usage.prompt_tokens
    assert there_said.logprobs[0].piece == here_said.logprobs[0].piece
    assert there_said.logprobs[0].logprob == pytest.approx(here_said.logprobs[0].logprob, abs=0.2)


def test_a_stream_is_the_same_text_in_pieces_with_the_servers_figures(lfm: RemoteModel) -> None:
    stream = lfm.stream("Why is the sky blue?", temperature=0, max_tokens=16)
    pieces = list(stream)
    assert len(pieces) > 8
    assert "".join(pieces) == stream.reply
    assert stream.reply.finish_reason == "length"
    assert stream.reply.usage.completion_tokens == 16
    assert stream.reply.usage.prompt_tokens > 20
    assert stream.reply.timings.decode_tokens_per_second > 0


def test_a_seed_gives_the_same_reply(lfm: RemoteModel) -> None:
    once, twice = (lfm.chat("Name an animal.", temperature=1.5, seed=11, max_tokens=12) for _ in range(2))
    assert once == twice
    others = {lfm.chat("Name an animal.", temperature=1.5, seed=seed, max_tokens=12) for seed in range(12, 15)}
    assert others != {once}


def test_it_ends_at_a_stop_string(lfm: RemoteModel) -> None:
    whole = lfm.chat("Count from one to ten.", temperature=0, max_tokens=24)
    stop = whole.split()[3]
    reply = lfm.chat("Count from one to ten.", temperature=0, max_tokens=24, stop=[stop])
    assert reply.finish_reason == "stop"
    assert stop not in reply
    assert whole.startswith(reply)


def test_a_text_is_continued(lfm: RemoteModel) -> None:
    assert lfm.complete("one, two, three, four,", temperature=0, max_tokens=6).strip().startswith("five")


def test_several_turns_and_another_way(lfm: RemoteModel) -> None:
    talk = lfm.conversation(system="You repeat code words.")
    first = talk.send("The code word is 'pelican'. Repeat the code word.", temperature=0, max_tokens=20)
    assert "pelican" in talk.send("What is the code word?", temperature=0, max_tokens=20).lower()
    assert talk.context_used > first.usage.total_tokens
    talk.regenerate(temperature=0, max_tokens=3)
    assert len(talk.branches().answers) == 2
    other = talk.fork(1)
    talk.undo()
    assert [one.role for one in talk.messages] == ["system", "user", "assistant"]
    assert other.messages == talk.messages
    talk.edit(0, "The code word is 'heron'. Repeat the code word.", temperature=0, max_tokens=20)
    assert len(talk.tree.leaves()) == 3  # two answers to the second turn, and this


def test_the_second_turn_costs_the_server_only_what_is_new(lfm: RemoteModel) -> None:
    talk = lfm.conversation(system="You are a gardener with a long memory and a small garden by the sea.")
    talk.send("What grows there?", temperature=0, max_tokens=8)
    assert talk.send("And in winter?", temperature=0, max_tokens=4).usage.cached_tokens > 30


def test_a_prompt_that_is_too_long_is_told_with_both_lengths(lfm: RemoteModel) -> None:
    with pytest.raises(ContextExceeded) as caught:
        lfm.chat("word " * 600)
    assert caught.value.context == 512
    assert caught.value.prompt_tokens > 600
    assert "--ctx-size" in caught.value.hint


def test_old_turns_go_if_that_is_wanted(lfm: RemoteModel) -> None:
    said = [{"role": role, "content": "word " * 100} for _ in range(4) for role in ("user", "assistant")]
    talk = lfm.conversation(system="Be brief.", messages=said, overflow="drop_oldest")
    assert talk.send("Hello", temperature=0, max_tokens=4).usage.prompt_tokens < 512
    assert len(talk.messages) == 1 + 8 + 2  # nothing is lost here


def test_a_schema_is_kept_to(lfm: RemoteModel) -> None:
    import json

    schema = {
        "type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"],
        "additionalProperties": False,
    }  # fmt: skip
    reply = lfm.chat("The colour of the sky?", response_format=schema, temperature=0, max_tokens=40)
    assert json.loads(reply)["colour"] in ("red", "blue")


def test_tools_are_taken(lfm: RemoteModel) -> None:
    weather = {"name": "weather", "description": "The weather.", "parameters": {"type": "object", "properties": {}}}
    reply = lfm.chat("Hello", tools=[weather], temperature=0, max_tokens=8)
    assert reply.usage.prompt_tokens > 0


def test_how_likely_each_token_was(lfm: RemoteModel) -> None:
    reply = lfm.chat("Hi", temperature=0, max_tokens=4, logprobs=2)
    assert len(reply.logprobs) == 4
    assert all(one.logprob <= 0 and len(one.top) == 2 for one in reply.logprobs)
    assert b"".join(one.piece for one in reply.logprobs).decode() == reply


def test_stopping_frees_the_server_for_the_next(lfm: RemoteModel) -> None:
    talk = lfm.conversation()
    stream = talk.stream("Tell me a very long story.", temperature=0)
    pieces = iter(stream)
    next(pieces)
    stopper = threading.Thread(target=stream.cancel)
    stopper.start()
    list(pieces)
    stopper.join()
    assert stream.reply.finish_reason == "cancelled"
    assert talk.messages[-1].content == stream.reply
    # The server has one place; it would not take the next before this one has ended.
    assert lfm.chat("Hi", temperature=0, max_tokens=2).usage.completion_tokens == 2


def test_a_model_that_is_not_there_is_told_with_those_that_are(address: str) -> None:
    with pytest.raises(UnknownModel, match="SmolLM2-135M-Instruct"):
        edgelfm.connect(address, "lfm2-24b")


def test_a_server_that_gives_no_embeddings_says_how_it_would(lfm: RemoteModel) -> None:
    with pytest.raises(RequestError, match="embeddings") as caught:
        lfm.embed("Hello")
    assert "--embeddings" in caught.value.hint


def test_embeddings(tiny_path: Path) -> None:
    with llama_server(tiny_path, embedding=True) as url, edgelfm.connect(url) as lfm:
        one, same, other = lfm.embed(["a tree", "a tree", "seven ships"])
        assert len(one) > 8
        assert one == pytest.approx(same, abs=1e-4)
        assert one != pytest.approx(other, abs=1e-2)
