"""Memory of the runtimes that edgelfm has no measured model of: short estimates that lean to the high side.

Weights are as stored in the backend's own files. The sizes of interpreters and libraries are rounded from what their
imports take on Linux x86-64; none is exact to better than 20 %.
"""

from __future__ import annotations

from dataclasses import replace

from ..decision import Grade
from ..models.architecture import Architecture
from ..units import MIB
from .loading import Loading
from .memory_llama_cpp import STAND_IN, conv_bytes, kv_bytes
from .plan import MemoryPart


def onnx(architecture: Architecture | None, loading: Loading) -> tuple[MemoryPart, ...]:
    """ONNX Runtime: the graph's initializers once more while they are prepacked, KV in f32 on CPUs."""
    return _bill(architecture, loading, kv_bytes_per_value=4, runtime=160 * MIB, copies=loading.weight_bytes // 4)


def transformers(architecture: Architecture | None, loading: Loading) -> tuple[MemoryPart, ...]:
    """PyTorch: weights as loaded, KV in 16 bits and concatenated, so a layer's cache exists twice while it grows."""
    return _bill(architecture, loading, kv_bytes_per_value=2, runtime=400 * MIB, copies=loading.weight_bytes // 20)


def mlx(architecture: Architecture | None, loading: Loading) -> tuple[MemoryPart, ...]:
    """MLX: unified memory, weights mapped once, KV in 16 bits."""
    return _bill(architecture, loading, kv_bytes_per_value=2, runtime=180 * MIB, copies=0)


def unknown(architecture: Architecture | None, loading: Loading) -> tuple[MemoryPart, ...]:
    """A third party's runtime: as hungry as any of the above."""
    bill = _bill(architecture, loading, kv_bytes_per_value=4, runtime=400 * MIB, copies=loading.weight_bytes // 4)
    return tuple(replace(part, grade="unknown") for part in bill)


def _bill(
    architecture: Architecture | None, loading: Loading, *, kv_bytes_per_value: int, runtime: int, copies: int
) -> tuple[MemoryPart, ...]:
    shape = architecture or STAND_IN
    grade: Grade = "estimated" if architecture else "unknown"
    kv = kv_bytes(shape, replace(loading, kv_type="f16")) * kv_bytes_per_value // 2
    tokens = min(loading.micro_batch, loading.context)
    # Logits for every token of the prompt chunk in f32, and the widest layer's activations a few times over.
    compute = tokens * 4 * (shape.vocabulary + 4 * max(shape.feed_forward, shape.hidden) + 6 * shape.hidden)
    bill = (
        MemoryPart("weights", loading.weight_bytes, "estimated", "as stored"),
        MemoryPart("weight copies", copies, "estimated", "packed or converted beside the file's"),
        MemoryPart("KV cache", kv, grade, f"{len(shape.attention_layers)} of {shape.layers} layers attend"),
        MemoryPart("convolution state", 2 * conv_bytes(shape), grade, "whatever the context"),
        MemoryPart("compute buffers", compute, grade, f"{tokens} tokens at once"),
        MemoryPart("runtime", runtime, "estimated", "Python and libraries"),
    )
    return tuple(part for part in bill if part.bytes)
