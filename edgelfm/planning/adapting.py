"""Which runtimes can let a LoRA run beside a model, in whose form they take it, and what it weighs there."""

from __future__ import annotations

from dataclasses import replace

from ..models.lora import Form, Lora
from .command import load_command
from .openings import number_bytes
from .plan import Candidate, Device, MemoryEstimate, MemoryPart, Request

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


def adapted(candidate: Candidate, request: Request) -> Candidate:
    """`candidate` as it is with the adapter of `request`, or with none: its bill, and how to have it again."""
    lora, parts = request.adapter, [part for part in candidate.memory.parts if part.name != "adapter"]
    if lora is not None:
        number = number_bytes(candidate.backend, candidate.quantization, candidate.settings.dtype)
        place = next((place for place, part in enumerate(parts) if part.name == "weights"), 0)
        where: Device = parts[place].device if parts else "host"
        parts.insert(place + 1, part(adapter_bytes(candidate.backend, lora, number), where))
    command = load_command(candidate.model, candidate.artifact, candidate.settings.context.value, request)
    return replace(candidate, memory=MemoryEstimate(tuple(parts)), load_command=command)


def part(size: int, where: Device) -> MemoryPart:
    """Its line of the memory bill."""
    return MemoryPart("adapter", size, "estimated", "a LoRA beside the weights", where)
