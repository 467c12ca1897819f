"""Measures the MLX backend against `mlx_lm.stream_generate`, on the 350M shape in 4 bits, greedy, in one process.

The two take turns on the same weights and the same prompt, and which goes first changes from round to round. Decode
only: the clock runs from the first token to the last. Text is made of the tokens on both sides. The weights are random;
speed does not depend on them. Needs: pip install 'edgelfm[peers]'.

    python scripts/bench_mlx.py [--rounds 6] [--tokens 65] [--prompt 64] [--folder FOLDER]

Without the GPU of a Mac a token takes seconds: `--rounds 3 --tokens 9 --prompt 4` are four minutes on two cores.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from bench_backends import quantized
from make_shapes import SHAPES, make_folder, shapes_folder

from edgelfm.backends.mlx.loading import load
from edgelfm.backends.mlx.session import MlxSession
from edgelfm.models.entry import Sampling
from tests.backends.conftest import settings

BAR = 0.97


def ours(session: MlxSession, prompt: list[int], tokens: int) -> float:
    """Seconds from the first token to the last."""
    session.forget()
    events = list(session.generate(prompt, Sampling(), max_tokens=tokens, keep=False))
    timings = events[-1].timings
    assert timings is not None
    assert timings.completion_tokens == tokens
    return timings.decode_seconds


def theirs(model: Any, tokenizer: Any, prompt: list[int], tokens: int) -> float:
    import mlx_lm

    times = []
    for _ in mlx_lm.stream_generate(model, tokenizer, prompt, max_tokens=tokens):
        times.append(time.perf_counter())
    assert len(times) == tokens
    return times[-1] - times[0]


def main() -> None:
    import mlx_lm

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--tokens", type=int, default=65)
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--folder", type=Path, default=shapes_folder(), help="where the weights are kept")
    arguments = parser.parse_args()
    shape = SHAPES[0]
    folder = quantized(make_folder(shape, arguments.folder), arguments.folder / f"{shape.name}-mlx-4bit")
    model, tokenizer = mlx_lm.load(str(folder))
    tokenizer.eos_token_ids = set()  # nothing ends a text
    with closing(MlxSession(load(folder), settings(context=1024, micro_batch=256))) as session:
        session._ends_generation = lambda token: False  # type: ignore[method-assign]
        prompt = [300 + 7 * i % 5000 for i in range(arguments.prompt)]
        ways = {
            "edgelfm": lambda: ours(session, prompt, arguments.tokens),
            "mlx_lm.stream_generate": lambda: theirs(model, tokenizer, prompt, arguments.tokens),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for name in ways:  # the first is slower everywhere
            ways[name]()
        for number in range(arguments.rounds):
            for name in list(ways) if number % 2 == 0 else reversed(list(ways)):
                seconds[name].append(ways[name]())
    written = arguments.tokens - 1
    for name, times in seconds.items():
        print(f"{name:24} {written / median(times):7.2f} tokens/s   each {[round(written / one, 2) for one in times]}")
    ratios = [b / a for a, b in zip(*seconds.values(), strict=True)]
    print(f"share of stream_generate {median(ratios):.3f} (bar {BAR})")


if __name__ == "__main__":
    main()
