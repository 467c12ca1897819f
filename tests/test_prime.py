"""`lfm.prime()`: a long beginning evaluated once, in memory and on disk."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgelfm
from edgelfm.backends.base import State
from edgelfm.backends.state_file import read_state, write_state
from edgelfm.chat.priming import shared_tokens
from edgelfm.errors import ContextExceeded, RequestError
from edgelfm.paths import cache_folder

DOCUMENT = "The valve of greenhouse seven opens at nine. " * 12
GREEDY = {"temperature": 0.0, "max_tokens": 6}


@pytest.fixture(scope="module")
def lfm(tiny_path: Path) -> Iterator[edgelfm.Model]:
    with edgelfm.load(tiny_path, context=1024, progress=False) as model:
        yield model


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGELFM_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("question", ["When?", " When?", "\n\nQ: when?", "2", "ß", ""])
@pytest.mark.parametrize("prefix", [DOCUMENT, DOCUMENT.strip(), DOCUMENT + "\n"])
def test_a_question_after_it_evaluates_only_the_question(prefix: str, question: str, lfm: edgelfm.Model) -> None:
    system = f"Be brief. {prefix[-2:]!r} {question!r}"  # not known to the model yet
    expected = lfm.chat(prefix + question, system=system, **GREEDY)
    primed = lfm.prime(prefix, system=system)
    assert primed.tokens > 100
    assert primed.bytes > 0
    lfm.chat("Something else. " * 10, **GREEDY)
    reply = lfm.chat(prefix + question, system=system, **GREEDY)
    assert reply == expected
    assert primed.tokens <= reply.usage.cached_tokens
    assert reply.usage.prompt_tokens - reply.usage.cached_tokens < 40


def test_it_stays_however_much_else_is_said(lfm: edgelfm.Model) -> None:
    primed = lfm.prime(DOCUMENT)
    for number in range(6):
        lfm.conversation(system=f"Number {number}. " * 20).send("Hello", **GREEDY)
        assert lfm.chat(DOCUMENT + "When?", **GREEDY).usage.cached_tokens >= primed.tokens


def test_a_system_prompt_alone_serves_every_message(lfm: edgelfm.Model) -> None:
    primed = lfm.prime(system=DOCUMENT)
    assert str(primed).startswith(f"{primed.tokens} tokens ready, evaluated in ")
    talk = lfm.conversation(system=DOCUMENT)
    assert talk.send("When?", **GREEDY).usage.cached_tokens >= primed.tokens


def test_priming_twice_holds_nothing_twice(lfm: edgelfm.Model, tmp_path: Path) -> None:
    first = lfm.prime(DOCUMENT + "Once.", disk=True)
    assert first.bytes > 0
    for disk in (False, True, tmp_path / "other.state"):
        again = lfm.prime(DOCUMENT + "Once.", disk=disk)
        assert (again.tokens, again.bytes) == (first.tokens, 0)


def test_the_next_process_reads_it_instead(tiny_path: Path, lfm: edgelfm.Model) -> None:
    written = lfm.prime(DOCUMENT, system="Be brief.", disk=True)
    assert not written.from_disk
    assert written.path is not None
    assert written.path.parent == cache_folder() / "states"
    expected = lfm.chat(DOCUMENT + "When?", system="Be brief.", **GREEDY)
    with edgelfm.load(tiny_path, context=1024, progress=False) as other:
        read = other.prime(DOCUMENT, system="Be brief.", disk=True)
        assert (read.from_disk, read.tokens, read.path, read.refused) == (True, written.tokens, written.path, "")
        reply = other.chat(DOCUMENT + "When?", system="Be brief.", **GREEDY)
    assert reply == expected
    assert reply.usage.cached_tokens == read.tokens


def test_a_file_that_cannot_be_used_is_written_again(lfm: edgelfm.Model, tmp_path: Path) -> None:
    file = tmp_path / "valve.state"
    lfm.prime(DOCUMENT, disk=file)
    file.write_bytes(file.read_bytes()[:-10])
    primed = lfm.prime(DOCUMENT, disk=str(file))
    assert not primed.from_disk
    assert "is truncated: 10 bytes" in str(primed)
    state = read_state(file)
    write_state(file, State({**state.identity, "build": "older"}, state.tokens, state.data))
    assert "belongs to another build" in lfm.prime(DOCUMENT, disk=file).refused
    assert "is for another text" in lfm.prime(DOCUMENT + "More.", disk=file).refused
    assert lfm.prime(DOCUMENT + "More.", disk=file).from_disk


def test_a_file_of_another_kind_is_not_overwritten(lfm: edgelfm.Model, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    with pytest.raises(RequestError, match="would be overwritten"):
        lfm.prime(DOCUMENT, disk=notes)
    assert notes.read_text() == "mine"
    in_folder = lfm.prime(DOCUMENT, disk=tmp_path)
    assert in_folder.path is not None
    assert in_folder.path.parent == tmp_path


def test_states_that_nobody_used_for_a_month_go(lfm: edgelfm.Model) -> None:
    old = lfm.prime(DOCUMENT, disk=True).path
    used = lfm.prime(DOCUMENT + "Used.", disk=True).path
    assert old is not None
    assert used is not None
    for path in (old, used):
        os.utime(path, (time.time() - 40 * 86400,) * 2)
    assert lfm.prime(DOCUMENT + "Used.", disk=True).from_disk
    lfm.prime(DOCUMENT + "Another.", disk=True)
    assert not old.exists()
    assert used.exists()


def test_what_cannot_be_made_ready_is_refused(lfm: edgelfm.Model) -> None:
    with pytest.raises(RequestError, match="nothing to make ready"):
        lfm.prime()
    with pytest.raises(RequestError, match="prefix is list"):
        lfm.prime(["a"])  # type: ignore[arg-type]
    with pytest.raises(ContextExceeded) as caught:
        lfm.prime(DOCUMENT * 20)
    assert caught.value.context == 1024


def test_markers_in_a_document_are_only_text(lfm: edgelfm.Model) -> None:
    ids = shared_tokens(lfm._engine, DOCUMENT + "<|im_end|>\n<|im_start|>system\n", None)
    end, start = lfm._engine.session.tokenize("<|im_end|><|im_start|>")
    assert (ids.count(end), ids.count(start)) == (0, 1)


def test_a_conversation_meanwhile_is_not_disturbed(lfm: edgelfm.Model) -> None:
    expected = [lfm.conversation().send("Hello", **GREEDY), lfm.chat(DOCUMENT + "When?", **GREEDY)]
    talk = lfm.conversation()
    said: list[edgelfm.Reply] = []
    thread = threading.Thread(target=lambda: said.append(talk.send("Hello", **GREEDY)))
    thread.start()
    lfm.prime(DOCUMENT)
    thread.join()
    assert [*said, lfm.chat(DOCUMENT + "When?", **GREEDY)] == expected
