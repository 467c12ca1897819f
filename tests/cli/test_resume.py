"""`edgelfm chat --resume`: a conversation in a file, which a kill does not lose."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

PROMPT = r"^> $"
ONCE = ("chat", "starter", "--context", "1024", "--seed", "1", "--temperature", "0", "--max-tokens", "12")


def _messages(file: Path) -> list[dict]:
    return json.loads(file.read_text())["messages"]


def test_one_turn_after_another(edgelfm: Callable, tmp_path: Path) -> None:
    file = tmp_path / "talk.json"
    first = edgelfm(*ONCE, "--system", "Be brief.", "--resume", str(file), "--once", "Name a colour.")
    assert first.status == 0, first.err
    # The model is the recorded one, with the recorded context.
    second = edgelfm("chat", "--resume", str(file), "--once", "And another?", "--max-tokens", "8", "--json")
    assert second.status == 0, second.err
    assert json.loads(second.out)["usage"]["context"] == 1024
    messages = _messages(file)
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user", "assistant"]
    assert messages[2]["content"].strip() == first.out.strip()


def test_a_killed_chat_has_lost_nothing(terminal: Callable, tmp_path: Path) -> None:
    file = tmp_path / "talk.json"
    with terminal(*ONCE, "--resume", str(file)) as talk:
        at = talk.wait_for(PROMPT)
        assert f"kept in {file}" in talk.text.replace("\n", "")
        talk.type("Why is the sky blue?\n")
        at = talk.wait_for(PROMPT, after=at + 5)
        talk.type(f"/save {file} state\n")
        at = talk.wait_for(r"of\s+state\s+in", after=at)
        at = talk.wait_for(PROMPT, after=at)
        talk.type("/set max_tokens 900\n")
        at = talk.wait_for(PROMPT, after=at)
        talk.type("Write a very long story about a lighthouse.\n")
        talk.wait_for(r"lighthouse\.\s+\S+ \S+ \S+", after=at)
        os.kill(talk._process.pid, signal.SIGKILL)
    assert [message["role"] for message in _messages(file)] == ["user", "assistant", "user"]
    with terminal("chat", "--resume", str(file)) as talk:
        at = talk.wait_for(PROMPT)
        assert "3 messages read." in talk.text
        assert "tokens was kept" in talk.text
        assert "/regenerate gives one" in talk.text
        talk.type("/set max_tokens 5\n")
        at = talk.wait_for(PROMPT, after=at)
        talk.type("/regenerate\n")
        at = talk.wait_for(r"\(\d+ cached\)", after=at)
        talk.wait_for(PROMPT, after=at)
        talk.type("\x04")
        assert talk.finish() == 0
    assert [message["role"] for message in _messages(file)] == ["user", "assistant", "user", "assistant"]


def test_a_state_that_cannot_be_used_is_told_and_the_text_is_there(terminal: Callable, tmp_path: Path) -> None:
    file = tmp_path / "talk.json"
    file.write_text('[{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello."}]')
    (tmp_path / "talk.state").write_bytes(b"something else")
    with terminal("chat", "starter", "--context", "1024", "--resume", str(file)) as talk:
        talk.wait_for(PROMPT)
        said = " ".join(talk.text.split())
        assert "2 messages read." in said
        assert "is no state of edgelfm; the conversation is evaluated anew" in said
        assert "Traceback" not in said
        talk.type("\x04")
        assert talk.finish() == 0


def test_what_makes_no_sense_is_refused_before_anything_is_loaded(edgelfm: Callable, tmp_path: Path) -> None:
    broken = tmp_path / "talk.json"
    broken.write_text("{")
    ran = edgelfm("chat", "--resume", str(broken), "--once", "Hello")
    assert ran.status != 0
    assert "broken JSON at line 1" in " ".join(ran.err.split())
    ran = edgelfm("chat", "--resume", str(tmp_path / "nowhere" / "talk.json"), "--once", "Hello")
    assert "there is no folder" in ran.err
    ran = edgelfm("chat", "--resume", str(tmp_path / "talk.state"), "--once", "Hello")
    assert "save as" in ran.err
    broken.write_text('[{"role": "user", "content": "Hello"}]')
    ran = edgelfm("chat", "--resume", str(broken), "--system", "Be brief.", "--once", "Hello")
    assert "use /system" in " ".join(ran.err.split())
