"""Which runtimes can let a LoRA run beside a model, in whose form they take it, and what it weighs there."""

from __future__ import annotations

from ..models.lora import Form, Lora

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
