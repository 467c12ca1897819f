"""Is our loop at least as fast as transformers' own `generate`? Decode and first token, greedy, in one process.

    python scripts/bench_transformers.py [--rounds 5] [--tokens 64] [--prompt 128] [--dtypes bf16 f32] [--folder FOLDER]

The network has the shape of LFM2-350M and random weights (written once into the `shapes` folder of edgelfm's cache; see
make_shapes.py). Both ways use the same weights in memory and the same threads, take turns, and change who begins with
every round; a ratio is the median over rounds of neighbours in time. Decode is the time from the first token to the
last, as the reader of a stream sees it. Every round begins with a prompt that is not in the cache.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `tests`, which is no package that could be installed

from make_shapes import SHAPES, shapes_folder

from edgelfm.backends.transformers.loading import load
from edgelfm.backends.transformers.session import TransformersSession
from edgelfm.models.entry import Sampling
from tests.backends.conftest import settings
from tests.tiny_folder import write_tiny_lfm2_folder

Times = tuple[float, float]  # seconds to the first token, seconds a token after it


class Heard:
    """A streamer that notes when each token comes. The first thing it is given is the prompt."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, value: object) -> None:
        self.times.append(time.perf_counter())

    def end(self) -> None:
        pass


def ours(session: TransformersSession, prompt: list[int], tokens: int) -> tuple[Times, list[int]]:
    session.forget()
    times, written = [time.perf_counter()], []
    for event in session.generate(prompt, Sampling(), max_tokens=tokens):
        if event.ids:
            times += [time.perf_counter()] * len(event.ids)
            written += event.ids
    return rates(times, tokens), written


def theirs(model: Any, prompt: list[int], tokens: int) -> tuple[Times, list[int]]:
    import torch

    heard, started = Heard(), time.perf_counter()
    ids = torch.tensor([prompt])
    made = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False, streamer=heard
    )
    return rates([started, *heard.times[1:]], tokens), made[0, len(prompt) :].tolist()


def rates(times: list[float], tokens: int) -> Times:
    if len(times) != tokens + 1:
        raise SystemExit(f"{len(times) - 1} tokens came, {tokens} were asked for: take another --seed")
    return times[1] - times[0], (times[-1] - times[1]) / (tokens - 1)


def measure(folder: Path, dtype: str, given: argparse.Namespace) -> list[str]:
    import torch

    loaded = load(folder, device="cpu", dtype=dtype)
    model = loaded.model
    for name in ("eos_token_id", "bos_token_id", "pad_token_id"):
        setattr(model.generation_config, name, None)  # nothing ends a text
    session = TransformersSession(loaded, settings(context=4096, micro_batch=512, threads=torch.get_num_threads()))
    session._ends_generation = lambda token: False  # type: ignore[method-assign]
    ways: dict[str, Callable[[list[int]], tuple[Times, list[int]]]] = {
        "edgelfm": lambda prompt: ours(session, prompt, given.tokens),
        "generate": lambda prompt: theirs(model, prompt, given.tokens),
    }
    seen: dict[str, list[Times]] = {name: [] for name in ways}
    chance, differ = random.Random(given.seed), 0
    for number in range(given.rounds + 1):
        prompt = chance.choices(range(300, 65_000), k=given.prompt)
        written = {}
        for name in list(ways) if number % 2 else list(ways)[::-1]:
            times, written[name] = ways[name](prompt)
            if number:  # the first round warms up
                seen[name].append(times)
        differ += number > 0 and written["edgelfm"] != written["generate"]
    session.close()
    rows = []
    for place, what in enumerate(("first token", "decode")):
        each = {name: [times[place] for times in seen[name]] for name in ways}
        ratio = statistics.median(b / a for a, b in zip(each["edgelfm"], each["generate"], strict=True))
        milliseconds = [f"{1000 * statistics.median(each[name]):8.1f}" for name in ways]
        rows.append(f"| {dtype:5} | {what:11} | {' | '.join(milliseconds)} | {ratio:5.3f} |")
    rows.append(f"| {dtype:5} | texts that differ | {differ} of {given.rounds} | | |")
    return rows


def main() -> None:
    import torch
    import transformers

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtypes", nargs="+", default=["bf16", "f32"])
    parser.add_argument("--folder", type=Path, default=shapes_folder() / "LFM2-350M-hf")
    given = parser.parse_args()
    if not (given.folder / "tokenizer.json").exists():  # written last
        shape = SHAPES[0]
        write_tiny_lfm2_folder(
            given.folder, layers=shape.layers, hidden=shape.hidden, feed_forward=shape.feed_forward, heads=shape.heads,
            kv_heads=shape.kv_heads, vocabulary=shape.vocabulary, context=shape.context, spread=0.02,
        )  # fmt: skip
    threads = torch.get_num_threads()
    print(f"transformers {transformers.__version__}, torch {torch.__version__}, {threads} threads")
    print("| dtype | what        | edgelfm ms | generate ms | generate / edgelfm |\n|---|---|---|---|---|")
    for dtype in given.dtypes:
        print("\n".join(measure(given.folder, dtype, given)), flush=True)


if __name__ == "__main__":
    main()
