"""Is the memory that edgelfm predicts the memory that the process takes? LFM2 shapes x quantizations x contexts.

Each row is a new process: `edgelfm.load(file, context=..., tune=False)`, all else left to the planner; a prompt of 600
tokens, 32 tokens of reply, then the peak of resident memory that Linux kept (VmHWM). llama.cpp fills the KV cache with
zeros when it makes it, so all of it is resident however short the prompt; only the attention mask grows with what the
context holds, and `--fill` makes the prompt as long as the context to show that too (slow: many minutes a row).
The last process loads LFM2-1.2B Q4_0 as llama-cpp-python does by default, in the same run.

    python scripts/bench_memory.py [--shapes FOLDER] [--json FILE] [--fill] [--only LFM2-350M]

Linux only. Weights are random (see make_shapes.py) and are written first where they are missing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from make_shapes import QUANTIZATIONS, SHAPES, make_shape, shapes_folder

CONTEXTS = (4096, 32768)
PROMPT, REPLY = 600, 32  # tokens
TOLERANCE = 0.05  # predicted peak against measured
SHARE = 0.62  # of what llama-cpp-python's defaults take
AGAINST_DEFAULTS = ("LFM2-1.2B", "Q4_0", 4096)
MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Row:
    """One process. Bytes."""

    model: str
    quantization: str
    context: int
    micro_batch: int
    loaded: int  # resident after loading
    peak: int
    predicted: int
    parts: dict[str, int]
    reported: dict[str, int]  # by llama.cpp's own log

    @property
    def error(self) -> float:
        return self.predicted / self.peak - 1


def resident() -> dict[str, int]:
    """VmRSS and VmHWM of this process in bytes."""
    lines = (line.partition(":") for line in Path("/proc/self/status").read_text().splitlines())
    return {name: int(rest.split()[0]) * 1024 for name, _, rest in lines if name in ("VmRSS", "VmHWM")}


def load_with_edgelfm(path: str, context: int, prompt: int) -> dict[str, Any]:
    """In a child: everything a person would do, with nothing chosen but the context."""
    import edgelfm

    with edgelfm.load(path, context=context, progress=False, tune=False) as model:
        loaded = resident()["VmRSS"]
        word = " t"
        tokens_a_word = model.count_tokens(word * 64) / 64
        model.complete(word * int(prompt / tokens_a_word), max_tokens=REPLY, temperature=0.3, seed=1)
        found = resident()
        memory, settings = model.candidate.memory, model.candidate.settings
        return {
            "micro_batch": settings.micro_batch.value,
            "loaded": loaded,
            "peak": found["VmHWM"],
            "predicted": memory.total,
            "parts": {part.name: part.bytes for part in memory.parts},
            "reported": asdict(model.memory()),
        }


def load_with_defaults(path: str, context: int, prompt: int) -> dict[str, Any]:
    """In a child: llama-cpp-python's own class, with nothing chosen but the context."""
    from llama_cpp import Llama

    from edgelfm.backends.llama_cpp.library import repacks

    repacks()  # keeps AMX code off if it crashes

    model = Llama(path, n_ctx=context, verbose=False)
    loaded = resident()["VmRSS"]
    for count, _ in enumerate(model.generate([300] * prompt, temp=0.3), start=1):
        if count == REPLY:
            break
    return {"loaded": loaded, "peak": resident()["VmHWM"]}


CHILDREN = {"edgelfm": load_with_edgelfm, "defaults": load_with_defaults}


def measure(kind: str, path: Path, context: int, prompt: int) -> dict[str, Any]:
    """Run one child and return what it found. Raises `CalledProcessError`, its own words are on stderr."""
    command = [sys.executable, __file__, "--child", kind, str(path), str(context), str(prompt)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


def table(rows: list[Row]) -> Any:
    from rich.table import Table

    shown = Table(title="Peak resident memory of the process, MiB (`at once` is the micro-batch in tokens)")
    for heading in ("model", "weights", "context", "at once", "predicted", "measured", "error"):
        shown.add_column(heading, justify="left" if heading in ("model", "weights") else "right")
    for row in rows:
        style = "green" if abs(row.error) <= TOLERANCE else "red"
        shown.add_row(
            row.model, row.quantization, str(row.context), str(row.micro_batch), f"{row.predicted / MIB:.0f}",
            f"{row.peak / MIB:.0f}", f"[{style}]{row.error:+.1%}[/]",
        )  # fmt: skip
    return shown


def main() -> int:
    from rich.console import Console

    arguments = read_arguments()
    if arguments.child:
        kind, path, context, prompt = arguments.child
        print(json.dumps(CHILDREN[kind](path, int(context), int(prompt))))
        return 0
    cache = tempfile.TemporaryDirectory()
    os.environ["EDGELFM_CACHE"] = cache.name  # what was tuned here before is another plan
    console = Console()
    rows: list[Row] = []
    for shape in SHAPES:
        for quantization in QUANTIZATIONS:
            if arguments.only and arguments.only != shape.name:
                continue
            path = make_shape(shape, quantization, arguments.shapes)
            for context in CONTEXTS:
                prompt = context - REPLY - 8 if arguments.fill else PROMPT
                console.print(f"[dim]{shape.name} {quantization}, context {context}[/]")
                rows.append(Row(shape.name, quantization, context, **measure("edgelfm", path, context, prompt)))
    console.print(table(rows))

    ours = next((row for row in rows if (row.model, row.quantization, row.context) == AGAINST_DEFAULTS), None)
    shares: dict[str, float] = {}
    if ours:
        path = make_shape(SHAPES[-1], ours.quantization, arguments.shapes)
        theirs = measure("defaults", path, ours.context, PROMPT)
        shares = {"loaded": ours.loaded / theirs["loaded"], "peak": ours.peak / theirs["peak"]}
        console.print(
            f"{ours.model} {ours.quantization} at {ours.context} against llama-cpp-python's defaults: "
            f"loaded {ours.loaded / MIB:.0f} / {theirs['loaded'] / MIB:.0f} MiB = {shares['loaded']:.3f}, "
            f"peak {ours.peak / MIB:.0f} / {theirs['peak'] / MIB:.0f} MiB = {shares['peak']:.3f}"
        )
    worst = max((abs(row.error) for row in rows), default=0.0)
    good = worst <= TOLERANCE and all(share <= SHARE for share in shares.values())
    console.print(f"worst error {worst:.1%} (bar {TOLERANCE:.0%}): [{'green]met' if good else 'red]missed'}[/]")
    if arguments.json:
        found = {
            "machine": platform.platform(),
            "llama_cpp_python": version("llama-cpp-python"),
            "rows": [{**asdict(row), "error": row.error} for row in rows],
            "share_of_defaults": shares,
        }
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0 if good else 1


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", type=Path, default=shapes_folder(), help="where make_shapes.py keeps its files")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--fill", action="store_true", help="fill the context to the end")
    parser.add_argument("--only", choices=[shape.name for shape in SHAPES], help="one model only")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
