"""Measures the ONNX Runtime backend against onnxruntime-genai's own loop, on the 350M shape with int4 weights.

Ways to write the same tokens take turns, a few tokens each, so that what the machine does besides hits all of them.
Each has a process of its own: the threads of one runtime spin on for a while after its last token, and four models in
one process cost some of them a tenth. Between turns there is a pause in which they settle. In each round everything is
opened anew in another order: where a model's weights come to lie in memory is luck, and worth 5 %. onnxruntime-genai
runs twice, as it comes and with the threads that edgelfm is given. The published layout is the same graph with the
names of the LiquidAI/*-ONNX repositories. The weights are random: speed does not depend on them.
Needs: pip install 'edgelfm[peers]' onnx. Takes four minutes, the first time six.

    python scripts/bench_onnx.py [--threads 2] [--rounds 4] [--tokens 97] [--prompt 128] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `tests`, which is no package that could be installed

from edgelfm.backends.onnx.loading import load
from edgelfm.backends.onnx.session import OnnxSession
from edgelfm.models.entry import Sampling
from edgelfm.paths import cache_folder
from scripts.make_shapes import SHAPES
from tests.backends.conftest import settings
from tests.onnx_export import rename
from tests.tiny_folder import write_tiny_lfm2_folder

TURN = 8  # tokens that one way writes before it is the next one's turn
PAUSE_SECONDS = 0.1  # between two turns
PEER = "onnxruntime-genai"
Opener = Callable[[], Generator[int]]
BARS = {"edgelfm, genai folder": 1.0, "edgelfm, published layout": 0.95}


@dataclass(slots=True)
class Measured:
    """One way, over all rounds. A turn is `TURN` tokens."""

    prefill: list[float] = field(default_factory=list)  # tokens a second, one for each round
    wall: list[float] = field(default_factory=list)  # seconds of each turn
    cpu: list[float] = field(
        default_factory=list
    )  # seconds of all threads, the measure that a busy machine distorts less
    written: list[int] = field(default_factory=list)  # tokens of the last reply


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=97)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--folder", type=Path, default=cache_folder() / "peers" / "LFM2-350M-onnx")
    given = parser.parse_args()
    genai = make_genai(given.folder)
    published = make_published(genai, given.folder / "published")
    prompt = [20 + i * 37 % 60000 for i in range(given.prompt)]
    openers: dict[str, Opener] = {
        PEER: functools.partial(generator, genai, prompt, given.tokens, None),
        f"{PEER}, {given.threads} threads": functools.partial(generator, genai, prompt, given.tokens, given.threads),
        "edgelfm, genai folder": functools.partial(tokens_of, genai, prompt, given.tokens, given.threads),
        "edgelfm, published layout": functools.partial(tokens_of, published, prompt, given.tokens, given.threads),
    }
    measured = {name: Measured() for name in openers}
    for number in range(given.rounds):
        order = list(openers)
        random.Random(number).shuffle(order)
        ways = {name: Way(openers[name]) for name in order}
        take_turns(ways, given.tokens, given.prompt, measured)
        for way in ways.values():
            way.close()
    report(measured)
    print(f"{given.rounds} rounds, {given.threads} threads, load of the machine {os.getloadavg()[0]:.1f}")


class Way:
    """One way at work in a process of its own, which writes as many tokens as it is told and says how long it took."""

    def __init__(self, opener: Opener) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=write, args=(theirs, opener), daemon=True)
        self._process.start()

    def write(self, tokens: int) -> tuple[list[int], float, float]:
        """The tokens, and the seconds by the clock and of all threads."""
        self._pipe.send(tokens)
        written: tuple[list[int], float, float] = self._pipe.recv()
        time.sleep(PAUSE_SECONDS)
        return written

    def close(self) -> None:
        self._pipe.send(0)
        self._process.join()


def write(pipe: Connection, opener: Opener) -> None:
    """What the process does, until it is told to write nothing."""
    with closing(opener()) as tokens:
        while count := pipe.recv():
            wall, cpu = time.perf_counter(), time.process_time()
            written = [next(tokens) for _ in range(count)]
            pipe.send((written, time.perf_counter() - wall, time.process_time() - cpu))


def make_genai(folder: Path) -> Path:
    """The 350M shape in int4, by onnxruntime-genai's builder; kept for the next time."""
    made = folder / "genai"
    if (made / "genai_config.json").exists():
        return made
    shape = next(shape for shape in SHAPES if shape.name == "LFM2-350M")
    source = write_tiny_lfm2_folder(
        folder / "hf", layers=shape.layers, hidden=shape.hidden, feed_forward=shape.feed_forward, heads=shape.heads,
        kv_heads=shape.kv_heads, vocabulary=shape.vocabulary, context=shape.context, spread=0.02,
    )  # fmt: skip
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-m", shape.name, "-i", str(source)]
    command += ["-o", str(made), "-p", "int4", "-e", "cpu", "-c", str(folder / "scratch")]
    subprocess.run(command, check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}, stdout=subprocess.DEVNULL)
    shutil.copyfile(source / "config.json", folder / "config.json")
    shutil.rmtree(source)
    return made


def make_published(genai: Path, folder: Path) -> Path:
    """The same graph under the names of the published repositories, in their folders."""
    target = folder / "onnx" / "model_q4.onnx"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(genai / name, folder / name)
    shutil.copyfile(genai.parent / "config.json", folder / "config.json")
    os.link(genai / "model.onnx.data", target.parent / "model.onnx.data")
    names = {f"past.{i}.conv": f"past_conv.{i}" for i in range(16)}
    names |= {f"present.{i}.conv": f"present_conv.{i}" for i in range(16)}
    return rename(genai / "model.onnx", target, names)


def generator(folder: Path, prompt: list[int], tokens: int, threads: int | None) -> Generator[int]:
    """onnxruntime-genai's own loop. With `threads` None it takes as many as it thinks best."""
    import onnxruntime_genai as genai

    config = genai.Config(str(folder))
    if threads:
        config.overlay(f'{{"model": {{"decoder": {{"session_options": {{"intra_op_num_threads": {threads}}}}}}}}}')
    model = genai.Model(config)
    while True:
        length = len(prompt) + tokens  # at least as long as at most: end-of-text cannot be chosen before
        params = genai.GeneratorParams(model)
        params.set_search_options(do_sample=False, min_length=length, max_length=length)
        loop = genai.Generator(model, params)
        loop.append_tokens(prompt)
        for _ in range(tokens):
            loop.generate_next_token()
            yield int(loop.get_next_tokens()[0])


def tokens_of(path: Path, prompt: list[int], tokens: int, threads: int) -> Generator[int]:
    """Our session as anybody uses it, texts and checkpoints included. End-of-text is kept from being chosen."""
    never = dict.fromkeys((2, 7), -1e9)
    with closing(OnnxSession(load(path, settings(context=2048, micro_batch=512, threads=threads)))) as session:
        while True:
            session.forget()
            for event in session.generate(prompt, Sampling(), max_tokens=tokens, logit_bias=never):
                yield from event.ids


def take_turns(ways: dict[str, Way], tokens: int, prompt: int, measured: dict[str, Measured]) -> None:
    """Let each way write two replies, and measure the second; the first warms everything up."""
    order = list(ways)
    for counts in (False, True):
        for name in order:
            measured[name].written, seconds, _ = ways[name].write(1)
            if counts:
                measured[name].prefill.append(prompt / seconds)
        for _ in range((tokens - 1) // TURN):
            for name in order:
                written, wall, cpu = ways[name].write(TURN)
                measured[name].written += written
                if counts:
                    measured[name].wall.append(wall)
                    measured[name].cpu.append(cpu)
            order.append(order.pop(0))
        if rest := (tokens - 1) % TURN:
            for name in order:
                measured[name].written += ways[name].write(rest)[0]


def report(measured: dict[str, Measured]) -> None:
    """A table. A ratio is the median of those of neighbouring turns, above 1 where less time was taken."""
    peers = [name for name in measured if name.startswith(PEER)]
    print(f"{'':28}{'prefill':>8}{'decode':>8}  ratio of decoding to {PEER}, by the clock and by CPU time, of")
    print(f"{'':28}{'t/s':>8}{'t/s':>8}" + "".join(f"{name:>30}" for name in peers) + f"{'bar':>6}")
    for name, one in measured.items():
        line = f"{name:28}{median(one.prefill):8.0f}{TURN / median(one.wall):8.1f}"
        for peer in peers:
            clock = median(theirs / ours for ours, theirs in zip(one.wall, measured[peer].wall, strict=True))
            cpu = median(theirs / ours for ours, theirs in zip(one.cpu, measured[peer].cpu, strict=True))
            line += f"{clock:20.3f}{cpu:10.3f}"
        print(line + (f"{BARS[name]:6.2f}" if name in BARS else ""))


if __name__ == "__main__":
    main()
