"""Writes the tables of models and of machines into README.md, from the catalogue and from plans for recorded machines.

python scripts/readme_tables.py            rewrite them
python scripts/readme_tables.py --check    say whether they are current
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import edgelfm
from edgelfm.hardware import inspect
from edgelfm.hardware.machine import Machine
from edgelfm.models import catalog
from edgelfm.models.entry import ModelEntry
from edgelfm.models.tensors import weight_bytes
from edgelfm.planning.plan import Plan
from edgelfm.units import format_bytes

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
MACHINES = ROOT / "tests" / "hardware" / "machines"
#: Recorded machine and what people call it.
SHOWN = {
    "pi-zero-2w": "Raspberry Pi Zero 2 W, 512 MB",
    "pi4-2gb": "Raspberry Pi 4, 2 GB",
    "pi5-8gb": "Raspberry Pi 5, 8 GB",
    "rk3588-orangepi5": "Orange Pi 5 (RK3588), 8 GB",
    "jetson-orin-nano-8gb": "Jetson Orin Nano, 8 GB",
    "jetson-thor": "Jetson Thor",
    "ryzen-ai-9-hx370": "Ryzen AI 9 HX 370 laptop",
    "ryzen-ai-max-395": "Ryzen AI Max+ 395",
    "core-ultra-npu": "Core Ultra laptop",
    "snapdragon-x-elite": "Snapdragon X Elite laptop",
    "mac-m2": "MacBook Air M2, 8 GB",
    "mac-m4-max-mlx": "MacBook Pro M4 Max, mlx-lm installed",
    "rtx4090-desktop": "Desktop with an RTX 4090",
    "container-512mb": "512 MB container on a server",
}


def models() -> Iterator[str]:
    """One line a current model of the family, with the size of its 4-bit weights."""
    yield "| model | for | weights, Q4_0 | context | thinks first |"
    yield "|---|---|---|---|---|"
    for entry in catalog.load():
        if entry.status == "current":
            context = f"{entry.architecture.context_supported:,}" if entry.architecture else "not published"
            yield (
                f"| `{entry.id}` | {', '.join(entry.tasks)} | {_weights(entry)} | {context} "
                f"| {'yes' if entry.thinking else ''} |"
            )


def _weights(entry: ModelEntry) -> str:
    quantizations = entry.quantizations("llama.cpp")
    if entry.architecture is None or not quantizations:
        return "not published" if entry.architecture is None else "no GGUF"
    quantization = "Q4_0" if "Q4_0" in quantizations else quantizations[0]
    note = "" if quantization == "Q4_0" else f" ({quantization})"
    return format_bytes(weight_bytes(entry.architecture, quantization)) + note


def machines() -> Iterator[str]:
    """One line a recorded machine: what `edgelfm.plan()` chooses there."""
    yield "| machine | model | runs on | context | memory, of what can be spent | decode, tokens/s |"
    yield "|---|---|---|---|---|---|"
    for name, title in SHOWN.items():
        plan = edgelfm.plan(host=inspect(Machine.from_folder(MACHINES / name)))
        yield f"| {title} | {_choice(plan)} |"


def _choice(plan: Plan) -> str:
    chosen = plan.chosen
    usable = format_bytes(plan.budget.usable_bytes)
    if chosen is None:
        nearest = plan.rejected[0]
        return f"none: {nearest.model} {nearest.reason} | | | {usable} | "
    layers = chosen.settings.gpu_layers.value
    place = "MLX" if chosen.backend == "mlx" else f"{chosen.backend}, {'GPU' if layers else 'CPU'}"
    speed = chosen.decode
    told = f"{speed.low:.0f} to {speed.high:.0f}, {speed.grade}" if speed.low and speed.high else "unknown"
    return (
        f"{chosen.model.name} {chosen.quantization} | {place} | {chosen.settings.context.value:,} "
        f"| {format_bytes(chosen.memory.total)} of {usable} | {told}"
    )


def rewritten(text: str) -> str:
    """README with fresh tables between `<!-- NAME -->` and `<!-- end of NAME -->`."""
    for name, lines in (("models", models()), ("machines", machines())):
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        table = "\n".join((begin, *lines, end))
        text = re.sub(re.escape(begin) + r".*?" + re.escape(end), lambda _, t=table: t, text, flags=re.DOTALL)
    return text


def main() -> int:
    before = README.read_text(encoding="utf-8")
    after = rewritten(before)
    if "--check" in sys.argv[1:]:
        print("current" if before == after else "stale: run python scripts/readme_tables.py")
        return int(before != after)
    README.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
