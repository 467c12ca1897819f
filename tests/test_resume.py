"""Conversations that outlive their process: what comes back, what it costs, and what a kill leaves."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgelfm
from edgelfm.backends.base import State
from edgelfm.backends.state_file import read_state, write_state
from edgelfm.chat.messages import Message
from edgelfm.errors import ChatFileError, RequestError, StateNotUsed
from tests.tiny import write_tiny_lfm2

GREEDY = {"temperature": 0.0, "max_tokens": 12}
SYSTEM = "You run a greenhouse with tomatoes, basil and two valves. " * 8


@pytest.fixture(scope="module")
def tiny(tiny_path: Path) -> Iterator[edgelfm.Model]:
    with edgelfm.load(tiny_path, context=1024, progress=False) as model:
        yield model


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[edgelfm.Model]:
    """The same network and vocabulary with other weights."""
    path = write_tiny_lfm2(tmp_path_factory.mktemp("other") / "other-F16.gguf", seed=1)
    with edgelfm.load(path, context=1024, progress=False) as model:
        yield model


def _talk(model: edgelfm.Model) -> edgelfm.Conversation:
    talk = model.conversation(system=SYSTEM)
    talk.send("Water the tomatoes", **GREEDY)
    talk.send("And the basil?", **GREEDY)
    return talk


def test_the_next_turn_evaluates_only_what_is_new(tiny: edgelfm.Model, tiny_path: Path, tmp_path: Path) -> None:
    talk = _talk(tiny)
    seen = talk.context_used
    assert talk.save(tmp_path / "talk.json", state=True) == (tmp_path / "talk.json", tmp_path / "talk.state")
    again = edgelfm.resume(tmp_path / "talk.json", progress=False)  # a model of its own, loaded as the first was
    assert again.messages == talk.messages
    assert again.context_used == again.resumed.state_tokens >= seen - 1
    reply, expected = again.send("Good night", **GREEDY), talk.send("Good night", **GREEDY)
    assert reply == expected
    assert reply.usage.cached_tokens >= seen - 1


def test_going_back_after_it_is_as_cheap_as_before(tiny: edgelfm.Model, tiny_path: Path, tmp_path: Path) -> None:
    _talk(tiny).save(tmp_path / "talk.json", state=True)
    with edgelfm.load(tiny_path, context=1024, progress=False) as fresh:
        again = fresh.resume(tmp_path / "talk.json")
        regenerated = again.regenerate(**GREEDY).usage
        edited = again.edit(-1, "And the valves?", **GREEDY).usage
    assert regenerated.prompt_tokens - regenerated.cached_tokens < 20
    assert edited.prompt_tokens - edited.cached_tokens < 40


def test_every_branch_comes_back(tiny: edgelfm.Model, tmp_path: Path) -> None:
    talk = _talk(tiny)
    talk.regenerate(**(GREEDY | {"temperature": 2.0, "seed": 3}))
    talk.edit(0, "Open a valve", **GREEDY)
    talk.undo()
    assert talk.save(str(tmp_path / "talk.json")) == (tmp_path / "talk.json",)
    again = tiny.resume(tmp_path / "talk.json")
    assert [(n.parent, n.message.content) for n in again.tree.nodes] == [
        (n.parent, n.message.content) for n in talk.tree.nodes
    ]
    assert again.node == talk.node
    assert again.resumed.state_tokens == 0
    assert again.resumed.saved_at.endswith("+00:00")


def test_a_question_without_an_answer_is_kept(tiny: edgelfm.Model, tmp_path: Path) -> None:
    talk = _talk(tiny)
    stream = talk.stream("Are you there?", **GREEDY)
    talk.save(tmp_path / "talk.json")
    stream.close()
    again = tiny.resume(tmp_path / "talk.json")
    assert again.messages[-1] == Message("user", "Are you there?")
    again.regenerate(**GREEDY)
    assert [message.role for message in again.messages[-2:]] == ["user", "assistant"]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda data: data[:-1000], "is truncated: 1000 bytes of"),
        (lambda data: data[:5000] + bytes([data[5000] ^ 1]) + data[5001:], "its checksum does not match"),
        (lambda data: b"", "is no state of edgelfm"),
        (lambda data: data[:8] + b"\x63" + data[9:], "has format 99"),
    ],
    ids=["truncated", "damaged", "empty", "later"],
)
def test_a_state_that_is_not_whole_costs_time_and_no_words(
    spoil, reason: str, tiny: edgelfm.Model, tmp_path: Path
) -> None:
    talk = _talk(tiny)
    _, state = talk.save(tmp_path / "talk.json", state=True)
    state.write_bytes(spoil(state.read_bytes()))
    with pytest.warns(StateNotUsed, match=reason) as caught:
        again = tiny.resume(tmp_path / "talk.json")
    assert caught[0].filename == __file__  # it points at the line that asked for it
    assert again.messages == talk.messages
    assert reason in again.resumed.refused


def test_a_state_of_other_weights_or_of_another_build_is_refused(
    tiny: edgelfm.Model, other: edgelfm.Model, tmp_path: Path
) -> None:
    talk = _talk(tiny)
    _, file = talk.save(tmp_path / "talk.json", state=True)
    with pytest.warns(StateNotUsed, match="belongs to another model"):
        again = other.resume(tmp_path / "talk.json")
    assert [message.content for message in again.messages] == [message.content for message in talk.messages]
    again.send("Good night", **GREEDY)
    state = read_state(file)
    write_state(file, State({**state.identity, "build": "llama-cpp-python 0.1"}, state.tokens, state.data))
    with pytest.warns(StateNotUsed, match="belongs to another build: llama-cpp-python 0.1"):
        assert tiny.resume(tmp_path / "talk.json").messages == talk.messages


def test_a_state_that_is_older_than_the_text_serves_as_far_as_it_goes(tiny_path: Path, tmp_path: Path) -> None:
    with edgelfm.load(tiny_path, context=1024, progress=False) as model:
        talk = _talk(model)
        seen = talk.context_used
        talk.save(tmp_path / "talk.json", state=True)
        talk.send("One more", **GREEDY)
        talk.save(tmp_path / "talk.json")  # as if it had been killed before the state was written
        expected = talk.send("Good night", **GREEDY)
    with edgelfm.load(tiny_path, context=1024, progress=False) as model:
        again = model.resume(tmp_path / "talk.json")
        assert seen - 1 <= again.resumed.state_tokens <= seen + 1
        reply = again.send("Good night", **GREEDY)
    assert reply == expected
    assert reply.usage.cached_tokens >= seen - 1


def test_the_model_may_be_another_and_the_tokens_are_then_not_believed(tiny: edgelfm.Model, tmp_path: Path) -> None:
    talk = tiny.conversation()
    talk.send("Hello", **GREEDY)
    talk.save(tmp_path / "talk.json")
    again = edgelfm.resume(tmp_path / "talk.json", "starter", context=2048, progress=False)
    reply = again.send("Name a colour.", max_tokens=4)
    assert reply.model == "starter"
    assert reply.usage.context == 2048


def test_a_file_written_by_hand_is_gone_on_with(tiny: edgelfm.Model, tmp_path: Path) -> None:
    file = tmp_path / "talk.json"
    file.write_text('[{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]')
    with pytest.raises(ChatFileError, match="does not say which model") as caught:
        edgelfm.resume(file)
    assert "edgelfm.resume(" in caught.value.hint
    talk = edgelfm.resume(file, tiny)
    talk.send("How are you?", **GREEDY)
    assert [message.role for message in talk.messages] == ["user", "assistant", "user", "assistant"]


def test_a_conversation_is_not_saved_under_the_name_of_its_state(tiny: edgelfm.Model, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"talk\.state is what the state"):
        _talk(tiny).save(tmp_path / "talk.state")
    assert not os.listdir(tmp_path)


def test_nothing_said_yet_is_saved_without_a_state(tiny: edgelfm.Model, tmp_path: Path) -> None:
    talk = tiny.conversation(system="Be brief.")
    assert talk.save(tmp_path / "talk.json", state=True) == (tmp_path / "talk.json",)
    assert tiny.resume(tmp_path / "talk.json").messages == talk.messages


# Forks a writer from a warm process, kills it at a random moment, and looks at what it left; 50 times.
_KILLED = """
import os, random, signal, struct, sys, time
from pathlib import Path
from edgelfm.backends.base import State
from edgelfm.backends.state_file import read_state, write_state
from edgelfm.chat.messages import Message
from edgelfm.chat.saved import read_chat, write_chat
from edgelfm.chat.tree import Tree

folder, moments = Path(sys.argv[1]), random.Random(int(sys.argv[2]))
chat, state = folder / "talk.json", folder / "talk.state"

def text(n):
    return f"{n} " + "tomato " * (n % 50 * 200)

def data(n):
    return bytes([n % 251]) * (100_000 + n % 7 * 300_000)

def save(n):
    write_chat(chat, Tree.of([Message("user", text(n))]), None, "error")
    write_state(state, State({"version": str(n)}, (n,), data(n)))

complete = leftovers = 0
for _ in range(50):
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        while True:
            complete += 1
            save(complete)
            os.write(writing, struct.pack("<I", complete))
    os.close(writing)
    time.sleep(moments.uniform(0, 0.06))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    if told:
        (complete,) = struct.unpack("<I", told[-4:])
    found = int(read_chat(chat).tree.nodes[0].message.content.split()[0]) if chat.exists() else 0
    assert found in (complete, complete + 1), (found, complete)
    assert not found or read_chat(chat).tree.nodes[0].message.content == text(found)
    kept = read_state(state) if state.exists() else None
    number = kept.tokens[0] if kept is not None else 0
    assert number in (complete, complete + 1), (number, complete)
    assert kept is None or bytes(kept.data) == data(number)
    complete = max(complete, number, found)
    leftovers += len(set(os.listdir(folder)) - {"talk.json", "talk.state"})
    complete += 1  # the next writer's versions are told from those of this one
    save(complete)
    assert sorted(os.listdir(folder)) == ["talk.json", "talk.state"]
print(complete, leftovers)
"""


def test_a_kill_at_any_moment_leaves_the_last_complete_version(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    done = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path), str(seed)], capture_output=True, text=True)
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    versions, leftovers = map(int, done.stdout.split())
    assert versions > 75  # they really wrote
    assert leftovers > 0  # and were killed in the middle of it
