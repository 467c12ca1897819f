"""Which runtimes can let a LoRA run beside a model, in whose form they take it, and what it weighs there."""

from __future__ import annotations

from dataclasses import replace

from ..models.lora import Form, Lora
from .command import load_command
from .openings import number_bytes
from .plan import Candidate, Device, MemoryEstimate, MemoryPart, Plan, Request

#: A folder of PEFT or mlx-lm is written as GGUF for llama.cpp. A graph of ONNX has no place for one.
FORMS: dict[str, tuple[Form, ...]] = {
    "llama.cpp": ("peft", "mlx", "gguf"),
    "transformers": ("peft", "mlx"),
    "mlx": ("peft", "mlx"),
}


def takes(backend: str, lora: Lora) -> bool:
    """Whether `backend` can have it beside a model."""
    return lora.form in FORMS.get(backend, ())


def adapter_bytes(backend: str, lora: Lora, number_bytes: int) -> int:
    """Bytes that it takes: in llama.cpp as it is stored, elsewhere in the numbers that the model computes in."""
    return lora.bytes if backend == "llama.cpp" else lora.parameters * number_bytes


def adapted(plan: Plan, running: Candidate, lora: Lora | None) -> Plan:
    """`plan` with `lora`, or nothing, beside the model that runs.

    What runs stays as it is, so nothing is decided anew: only the bills change, how to have each of them again, and
    which runtimes are left.
    """
    request = replace(plan.request, adapter=lora)
    others = (one for one in plan.candidates if one.artifact != running.artifact)
    able = (one for one in (running, *others) if lora is None or takes(one.backend, lora))
    return replace(plan, request=request, candidates=tuple(_with_that_of(request, one) for one in able))


def _with_that_of(request: Request, candidate: Candidate) -> Candidate:
    lora, parts = request.adapter, [part for part in candidate.memory.parts if part.name != "adapter"]
    if lora is not None:
        number = number_bytes(candidate.backend, candidate.quantization, candidate.settings.dtype)
        weights = [place for place, one in enumerate(parts) if one.name == "weights"]  # two if a GPU has a part of them
        where: Device = parts[weights[0]].device if weights else "host"
        parts.insert(weights[-1] + 1 if weights else 0, part(adapter_bytes(candidate.backend, lora, number), where))
    command = load_command(candidate.model, candidate.artifact, candidate.settings.context.value, request)
    return replace(candidate, memory=MemoryEstimate(tuple(parts)), load_command=command)


def part(size: int, where: Device) -> MemoryPart:
    """Its line of the memory bill."""
    return MemoryPart("adapter", size, "estimated", "a LoRA beside the weights", where)
