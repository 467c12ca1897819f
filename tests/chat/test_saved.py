"""The file of a conversation: what is written is read, what people write is read, the rest is refused by place."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelfm.chat.engine import LoadedAs
from edgelfm.chat.messages import Message
from edgelfm.chat.saved import read_chat, write_chat
from edgelfm.chat.tree import Node, Tree
from edgelfm.errors import ChatFileError

MODEL = LoadedAs("starter", "Q4_1", "llama.cpp", 8192)
TALK = Tree.of([Message("system", "Be brief."), Message("user", "Hello"), Message("assistant", "Hi", None, (4, 8))])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("talks") / "talk.json"


def _told(node: Node) -> tuple[Any, ...]:
    return node.id, node.parent, node.message.role, node.message.content, node.message.written, node.message.ids


@st.composite
def _trees(draw: st.DrawFn) -> Tree:
    text = st.text(st.characters(), max_size=12)  # half surrogate pairs among them
    nodes = []
    for index in range(draw(st.integers(0, 8))):
        parent = draw(st.none() | st.integers(0, index - 1)) if index else None
        role, content = draw(st.sampled_from(["user", "assistant", "system", "tool"])), draw(text)
        raw = draw(st.none() | st.just(content) | text) if role == "assistant" else None
        ids = draw(st.none() | st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5).map(tuple))
        nodes.append(Node(index, parent, Message(role, content, raw, ids)))
    return Tree(nodes, draw(st.none() | st.integers(0, len(nodes) - 1)) if nodes else None)


@given(tree=_trees(), model=st.none() | st.just(MODEL), overflow=st.sampled_from(["error", "drop_oldest"]))
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read(tree: Tree, model: LoadedAs | None, overflow: Any, file: Path) -> None:
    write_chat(file, tree, model, overflow)
    read = read_chat(file)
    assert [_told(node) for node in read.tree.nodes] == [_told(node) for node in tree.nodes]
    assert (read.tree.current, read.model, read.overflow) == (tree.current, model, overflow)


def test_a_plain_conversation_is_as_readable_as_one_written_by_hand(file: Path) -> None:
    write_chat(file, TALK, MODEL, "error")
    text = file.read_text()
    assert '"model": {"name": "starter", "quantization": "Q4_1", "backend": "llama.cpp", "context": 8192}' in text
    assert '      "role": "assistant",\n      "content": "Hi",\n      "ids": [4, 8]\n    }' in text
    assert [sorted(message) for message in json.loads(text)["messages"]] == [
        ["content", "role"],
        ["content", "role"],
        ["content", "ids", "role"],
    ]


@pytest.mark.parametrize(
    "text",
    [
        '[{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]',
        '{"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]}',
        '\ufeff{"messages": [{"role": "user", "content": "Hello", "mood": 3}, {"role": "assistant", "content": "Hi"}]}',
    ],
    ids=["list", "object", "from an editor that marks its files"],
)
def test_what_people_write_is_read(text: str, file: Path) -> None:
    file.write_text(text, encoding="utf-8")
    read = read_chat(file)
    assert [node.message for node in read.tree.path()] == [Message("user", "Hello"), Message("assistant", "Hi")]
    assert read.model is None


def test_a_line_put_in_by_hand_is_part_of_the_conversation(file: Path) -> None:
    write_chat(file, TALK, MODEL, "error")
    data = json.loads(file.read_text())
    data["messages"].append({"role": "user", "content": "How are you?"})
    data["messages"].insert(1, {"role": "user", "content": "First"})
    file.write_text(json.dumps(data))
    said = [node.message.content for node in read_chat(file).tree.path()]
    assert said == ["Be brief.", "First", "Hello", "Hi", "How are you?"]


def test_an_edited_reply_says_what_it_was_edited_to(file: Path) -> None:
    thought = Message("assistant", "Blue", "<think>Hm.</think>Blue", (1, 2))
    write_chat(file, Tree.of([Message("user", "Colour?"), thought]), None, "error")
    assert read_chat(file).tree.nodes[-1].message == thought
    file.write_text(file.read_text().replace('"content": "Blue"', '"content": "Green"'))
    assert read_chat(file).tree.nodes[-1].message == Message("assistant", "Green")


HELLO = {"role": "user", "content": "Hello"}


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (3, "holds no messages"),
        ({}, "holds no messages"),
        ({"messages": {}}, "holds no messages"),
        ({"messages": [], "format": "recipe"}, "is in the format 'recipe'"),
        ({"messages": [], "version": 2}, "has version 2, and this edgelfm reads 1"),
        ({"messages": [], "overflow": "panic"}, "has the overflow 'panic'"),
        ({"messages": [HELLO], "current": 7}, "stands at 7"),
        ({"messages": [], "model": "starter"}, "has a str as its model"),
        ({"messages": [], "model": {"name": 3}}, "names its model as {'name': 3}"),
        ({"messages": [], "model": {"name": "a", "context": -1}}, "has the context -1"),
        ([HELLO, "Hi"], "message 1 is a str"),
        ([HELLO, {"role": "robot", "content": ""}], "message 1 has the role 'robot'"),
        ([HELLO, {"role": "user"}], "the content of message 1 is NoneType, not text"),
        ([HELLO | {"raw": 1}], "the raw text of message 0 is int, not text"),
        ([HELLO | {"ids": [1, "2"]}], "the ids of message 0 are no list of token ids"),
        ([HELLO | {"ids": [1 << 40]}], "the ids of message 0 are no list of token ids"),
        ([HELLO | {"id": True}], "message 0 has the id True"),
        ([HELLO | {"id": 1}, HELLO | {"id": 1}], "message 1 has the id 1"),
        ([HELLO | {"id": 0, "parent": 0}], "message 0 has the parent 0"),
        ([HELLO | {"id": 0}, HELLO | {"parent": [0]}], "message 1 has the parent [0]"),
    ],
    ids=repr,
)
def test_a_wrong_shape_is_refused_by_its_place(data: Any, place: str, file: Path) -> None:
    file.write_text(json.dumps(data))
    with pytest.raises(ChatFileError) as caught:
        read_chat(file)
    assert caught.value.message.startswith(f"{file}: {place}")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b'{"messages": [\n  {"role": "user" "content": ""}\n]}', "broken JSON at line 2, column 19"),
        (b"", "broken JSON at line 1, column 1"),
        (b"\xff\xfe", "byte 0 is not UTF-8"),
        (b"[" * 200_000, "cannot be read as JSON"),
        (b'[{"role": "user", "content": "", "ids": [' + b"1" * 5000 + b"]}]", "cannot be read as JSON"),
    ],
    ids=["comma", "empty", "binary", "deep", "long number"],
)
def test_what_is_no_json_is_refused(text: bytes, place: str, file: Path) -> None:
    file.write_bytes(text)
    with pytest.raises(ChatFileError, match=place):
        read_chat(file)


def test_a_file_cut_anywhere_is_refused_or_says_the_same(file: Path) -> None:
    write_chat(file, TALK, MODEL, "error")
    whole = file.read_bytes()
    for length in range(len(whole) - 2):
        file.write_bytes(whole[:length])
        with pytest.raises(ChatFileError):
            read_chat(file)


def test_a_file_of_weights_is_not_read_to_its_end(file: Path) -> None:
    with file.open("wb") as weights:
        weights.truncate(1 << 40)
    with pytest.raises(ChatFileError, match="too much for a conversation"):
        read_chat(file)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ChatFileError, match="cannot write"):
        write_chat(tmp_path / "nowhere" / "talk.json", TALK, None, "error")
    with pytest.raises(ChatFileError, match="cannot read"):
        read_chat(tmp_path / "nowhere" / "talk.json")
    with pytest.raises(ChatFileError, match="cannot write"):
        write_chat(tmp_path, TALK, replace(MODEL, name="x"), "error")
