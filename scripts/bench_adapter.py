"""What a LoRA beside a model costs: decode and prefill with it and without, and how long it takes to change it.

    python scripts/bench_adapter.py [--rounds 5] [--rank 16] [--tokens 64] [--prompt 256] [--quantization Q4_0]

LFM2-350M in llama.cpp with random weights (written once into the `shapes` folder of edgelfm's cache; see
make_shapes.py), and an adapter that changes every matrix of every layer. With and without take turns on the same
weights in memory; a ratio is the median over rounds of neighbours in time.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `tests`, which is no package that could be installed

from make_shapes import SHAPES, Shape, make_shape, shapes_folder

import edgelfm
from edgelfm.models.entry import Sampling
from tests.adapters import write_peft


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--prompt", type=int, default=256)
    parser.add_argument("--quantization", default="Q4_0")
    given = parser.parse_args()
    shape = SHAPES[0]
    weights = make_shape(shape, given.quantization, shapes_folder())
    with tempfile.TemporaryDirectory() as made:
        loras = [
            write_peft(Path(made) / f"lora-{seed}", layers(shape), seed=seed, r=given.rank, lora_alpha=0.01)
            for seed in (1, 2)
        ]
        with edgelfm.load(weights, context=1024, progress=False) as lfm:
            measure(lfm, loras, given)


def layers(shape: Shape) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of every matrix of every layer."""
    width, keys = shape.hidden, shape.kv_heads * shape.hidden // shape.heads
    found = {}
    for number, kind in enumerate(shape.layers):
        stem = f"model.layers.{number}"
        for part in ("w1", "w3"):
            found[f"{stem}.feed_forward.{part}"] = (width, shape.feed_forward)
        found[f"{stem}.feed_forward.w2"] = (shape.feed_forward, width)
        if kind == "c":
            found |= {f"{stem}.conv.in_proj": (width, 3 * width), f"{stem}.conv.out_proj": (width, width)}
        else:
            for part, outputs in (("q", width), ("k", keys), ("v", keys)):
                found[f"{stem}.self_attn.{part}_proj"] = (width, outputs)
            found[f"{stem}.self_attn.out_proj"] = (width, width)
    return found


def measure(lfm: edgelfm.Model, loras: list[Path], given: argparse.Namespace) -> None:
    plain = lfm.memory().weights
    changes: list[float] = []
    with_it: list[tuple[float, float]] = []
    without: list[tuple[float, float]] = []
    for lora in loras:  # the first time it is written as GGUF
        started = time.perf_counter()
        lfm.use_adapter(lora)
        print(f"{lora.name}: {time.perf_counter() - started:.2f} s the first time")
    print(f"weights {plain / 1024**2:.0f} MiB, the adapter {(lfm.memory().weights - plain) / 1024**2:.0f} MiB")
    prompt = [20 + i * 37 % 60000 for i in range(given.prompt)]
    for number in range(given.rounds):
        ways = [(None, without), (loras[number % 2], with_it)]
        for lora, found in ways if number % 2 else reversed(ways):
            started = time.perf_counter()
            lfm.use_adapter(lora)
            if lora is not None:
                changes.append(time.perf_counter() - started)
            *_, last = lfm._session.generate(prompt, Sampling(), max_tokens=given.tokens, logit_bias={7: -1e9})
            assert last.timings is not None
            prefill, decode = last.timings.prefill_tokens_per_second, last.timings.decode_tokens_per_second
            assert prefill is not None
            assert decode is not None
            found.append((prefill, decode))
    for place, name in enumerate(("prefill", "decode")):
        ratios = [a[place] / b[place] for a, b in zip(with_it, without, strict=True)]
        medians = [statistics.median(one[place] for one in found) for found in (without, with_it)]
        print(f"{name}: {medians[0]:.1f} tokens/s without, {medians[1]:.1f} with it: {statistics.median(ratios):.3f}")
    print(f"change of the adapter: {1000 * statistics.median(changes):.0f} ms")


if __name__ == "__main__":
    main()
