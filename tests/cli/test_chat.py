"""`edgelfm chat` with the starter: a real model, in a pipe and in a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.adapters import write_peft

ONCE = ("chat", "starter", "--context", "1024", "--seed", "1")
PROMPT = r"^> $"
SKY = "Why is the sky blue? Answer in one sentence."
LONG = "Write a very long story about a lighthouse."


def test_one_answer_on_stdout_and_nothing_else(edgelfm: Callable) -> None:
    ran = edgelfm(*ONCE, "--once", SKY, "--max-tokens", "40")
    assert ran.status == 0, ran.err
    assert "sky" in ran.out
    assert "tokens/s" not in ran.out
    assert ran.err == ""


def test_a_prompt_in_a_pipe_gives_the_same_answer(edgelfm: Callable) -> None:
    options = (*ONCE, "--max-tokens", "16", "--temperature", "0")
    question = "Name a colour."
    assert edgelfm(*options, stdin=question).out == edgelfm(*options, "--once", question).out


def test_a_reply_as_json(edgelfm: Callable) -> None:
    ran = edgelfm(*ONCE, "--once", "Say hello.", "--max-tokens", "8", "--json")
    reply = json.loads(ran.out)
    assert reply["text"]
    assert reply["model"] == "starter"
    assert 0 < reply["usage"]["completion_tokens"] <= 8
    assert reply["usage"]["context"] == 1024
    assert reply["timings"]["decode_tokens_per_second"] > 0


def test_a_conversation(terminal: Callable) -> None:
    with terminal(*ONCE, "--temperature", "0", "--max-tokens", "30") as talk:
        at = talk.wait_for(PROMPT)
        assert "SmolLM2-135M-Instruct" in talk.text
        talk.type(f"{SKY}\n")
        at = talk.wait_for(r"The sky", after=at)
        at = talk.wait_for(r"tokens/s .* context \d+/1024", after=at)
        at = talk.wait_for(PROMPT, after=at)
        talk.type("/context\n")
        at = talk.wait_for(r"\d+ of 1024 tokens, \d+%\. 2 messages", after=at)
        talk.wait_for(PROMPT, after=at)
        talk.type("/quit\n")
        assert talk.finish() == 0


def test_ctrl_c_stops_the_reply_and_the_conversation_goes_on(terminal: Callable) -> None:
    with terminal(*ONCE) as talk:
        at = talk.wait_for(PROMPT)
        talk.type(LONG + "\n")
        at = talk.wait_for(r"lighthouse\.\s+\S+ \S+ \S+", after=at)
        talk.type("\x03")
        at = talk.wait_for("cancelled", after=at)
        at = talk.wait_for(PROMPT, after=at)
        talk.type("/stats\n")
        at = talk.wait_for(r"replies +1", after=at)
        at = talk.wait_for(PROMPT, after=at)
        talk.type("\x04")
        assert talk.finish() == 0
    assert "Traceback" not in talk.text


def test_ctrl_c_at_the_prompt_begins_a_new_line(terminal: Callable) -> None:
    with terminal(*ONCE) as talk:
        at = talk.wait_for(PROMPT)
        talk.type("half a quest")
        at = talk.wait_for("half a quest", after=at)  # readline is reading
        talk.type("\x03")
        at = talk.wait_for(PROMPT, after=at)
        talk.type("other")
        at = talk.wait_for("other", after=at)
        talk.type("\x03")
        at = talk.wait_for("ends the conversation", after=at)
        talk.wait_for(PROMPT, after=at)
        talk.type("\x04")
        assert talk.finish() == 0


def test_ctrl_c_ends_a_single_answer_with_130(terminal: Callable) -> None:
    with terminal(*ONCE, "--once", LONG) as answer:
        answer.wait_for(r"\w+ \w+ \w+ \w+")
        answer.type("\x03")
        assert answer.finish() == 130
    assert "Traceback" not in answer.text
    assert "error" not in answer.text


def test_messages_of_several_lines_are_kept_in_a_file(terminal: Callable, tmp_path: Path) -> None:
    kept = tmp_path / "talk.json"
    with terminal(*ONCE, "--max-tokens", "4", "--system", "Be brief.") as talk:
        at = talk.wait_for(PROMPT)
        talk.type('"""one\ntwo\n"""\n')
        at = talk.wait_for("tokens", after=at)
        at = talk.wait_for(PROMPT, after=at)
        talk.type("three \\\nfour\n")
        at = talk.wait_for("tokens", after=at)
        at = talk.wait_for(PROMPT, after=at)
        talk.type(f"/save {kept}\n")
        at = talk.wait_for("5 messages in", after=at)
        talk.wait_for(PROMPT, after=at)
        talk.type("/quit\n")
        assert talk.finish() == 0
    messages = json.loads(kept.read_text())["messages"]
    assert [message["content"] for message in messages if message["role"] != "assistant"] == [
        "Be brief.", "one\ntwo", "three \nfour",
    ]  # fmt: skip


def test_history_stays_between_conversations(terminal: Callable, tmp_path: Path) -> None:
    pytest.importorskip("readline")
    with terminal(*ONCE) as first:
        at = first.wait_for(PROMPT)
        first.type("/context\n")
        at = first.wait_for("of 1024 tokens", after=at)
        first.wait_for(PROMPT, after=at)
        first.type("/quit\n")
        assert first.finish() == 0
    assert "/context" in (tmp_path / "config" / "chat_history").read_text()
    with terminal(*ONCE) as second:
        at = second.wait_for(PROMPT)
        second.type("\x1b[A\x1b[A\n")  # arrow up, twice
        at = second.wait_for(r"of 1024 tokens", after=at)
        second.wait_for(PROMPT, after=at)
        second.type("\x04")
        assert second.finish() == 0


COMMANDS = {
    "/help": r"/regenerate +answer the last message again",
    "/system": r"no system prompt",
    "/system Be kind.": r"^Be kind\.",
    "/reset": r"Forgotten",
    "/set temperature 0.5": r"temperature +0\.5",
    "/set temperature 99": r"error: temperature is 99",
    "/set mood 3": r"error: 'mood' cannot be set",
    "/set top_k many": r"error: top_k is 'many'",
    "/undo": r"error: nothing has been said yet",
    "/regenerate": r"error: nothing has been said yet",
    "/history": r"^ +system +Be kind\.",
    "/edit": r"error: which message",
    "/edit one Hello": r"error: 'one' is not a number",
    "/edit 0": r"error: what shall it say",
    "/edit 0 Hello": r"error: nothing has been said yet",
    "/branches": r"Nothing else",
    "/switch": r"error: which branch",
    "/switch 7": r"error: there is no branch 7",
    "/save": r"error: which file",
    "/save none/talk.json": r"error: cannot write",
    "/load none.json": r"error: cannot read",
    "/contxt": r"hint: /context",
    "/stats": r"held by the model .*KV cache",
    "/context": r"0 of 1024 tokens",
}


def test_every_command(terminal: Callable) -> None:
    with terminal(*ONCE, columns=160) as talk:
        at = talk.wait_for(PROMPT)
        for command, answer in COMMANDS.items():
            talk.type(command + "\n")
            at = talk.wait_for(answer, after=at)
            at = talk.wait_for(PROMPT, after=at)
        talk.type("/quit\n")
        assert talk.finish() == 0
    assert "Traceback" not in talk.text


def test_regenerate_answers_the_same_question_again(terminal: Callable, tmp_path: Path) -> None:
    with terminal(*ONCE, "--max-tokens", "6") as talk:
        at = talk.wait_for(PROMPT)
        for line in ("Say something.", "/regenerate"):
            talk.type(line + "\n")
            at = talk.wait_for(r"context \d+/1024", after=at)
            at = talk.wait_for(PROMPT, after=at)
        talk.type(f"/save {tmp_path / 'talk.json'}\n")
        at = talk.wait_for("messages in", after=at)
        at = talk.wait_for(PROMPT, after=at)
        talk.type("/undo\n")
        at = talk.wait_for(r"\d messages left", after=at)
        talk.wait_for(PROMPT, after=at)
        talk.type("/quit\n")
        assert talk.finish() == 0
    messages = json.loads((tmp_path / "talk.json").read_text())["messages"]
    said = [(message["role"], message.get("parent")) for message in messages if message["role"] != "system"]
    question = messages[-2]["id"] - 1
    assert said == [("user", None), ("assistant", None), ("assistant", question)]  # both answers, to one question


def test_other_branches_stay_within_reach(terminal: Callable) -> None:
    with terminal(*ONCE, "--max-tokens", "4", "--temperature", "0", columns=160) as talk:
        at = talk.wait_for(PROMPT)
        for line, shown in {
            "Name a colour.": r"context \d+/1024",
            "/edit 0 Name a town.": r"context \d+/1024",
            "/branches": r"^   0  turn 0  user +Name a colour\.\n\*  1  turn 0  user +Name a town\.$",
            "/history": r"^  0  user +Name a town\.  2/2$",
            "/switch 0": r"^  0  user +Name a colour\.  1/2$",
            "/undo": r"\d messages left",
            "/regenerate": r"error: nothing has been said yet",
            "/switch 1": r"^  0  user +Name a town\.  2/2$",
            "/quit": "",
        }.items():
            talk.type(line + "\n")
            at = talk.wait_for(shown, after=at)
            if line != "/quit":
                at = talk.wait_for(PROMPT, after=at)
        assert talk.finish() == 0


def test_a_lora_beside_the_model(edgelfm: Callable, tiny_path: Path, tmp_path: Path) -> None:
    lora = write_peft(
        tmp_path / "lora", {"model.layers.2.self_attn.q_proj": (64, 64), "model.layers.0.conv.in_proj": (64, 192)}
    )
    once = ("chat", str(tiny_path), "--context", "512", "--temperature", "0", "--max-tokens", "12", "--once", "Hello")
    adapted = edgelfm(*once, "--adapter", str(lora))
    assert adapted.status == 0, adapted.err
    assert adapted.out != edgelfm(*once).out
    wrong = edgelfm(*once, "--adapter", str(tmp_path))
    assert wrong.status != 0
    assert "holds no adapter_config.json" in wrong.err
    elsewhere = edgelfm(*once, "--adapter", "someone/gardener-lora", "--offline")
    assert elsewhere.status != 0
    assert "the adapter someone/gardener-lora is not on this disk" in elsewhere.err
    assert "go online once" in elsewhere.err
