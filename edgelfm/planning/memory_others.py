"""Memory of MLX, ONNX Runtime and transformers, as edgelfm drives them.

Weights, keys and values, and convolution states follow from sizes. What libraries and allocators take beside them was
measured on Linux x86-64 with scripts/bench_memory.py: Python 3.11, mlx-lm 0.32, onnxruntime 1.32, transformers 5.24
with torch 2.13 (CPU) and 2.15 (CUDA). Other systems differ by some tens of MiB.
"""

from __future__ import annotations

from dataclasses import replace

from ..decision import Grade
from ..models.architecture import Architecture
from ..units import MIB, round_up
from .loading import Loading
from .memory_llama_cpp import GPU_CONTEXT, STAND_IN, conv_bytes
from .plan import KvType, MemoryPart

#: Python with each runtime, edgelfm and a tokenizer, before any weights.
MLX_RUNTIME = 125 * MIB
ONNX_RUNTIME = 77 * MIB
TORCH_RUNTIME = {"cpu": 408 * MIB, "gpu": 790 * MIB}
#: mlx-lm imports transformers, and that imports torch wherever it is installed.
TORCH_BESIDE_MLX = {"": 0, "cpu": 240 * MIB, "gpu": 493 * MIB}
#: Share of its weights that ONNX Runtime holds once more, packed for the CPU's registers: of 4 bits and of 8.
PACKED = 0.46
#: The same of weights in 16 bits, which it widens to 32 as x86-64 does not multiply them: 0.985 in the 350M shape.
WIDENED = 1.0
_STEP = 256  # tokens by which caches grow
#: Bytes of one key or value that MLX quantizes, and how many share a scale and a bias in the numbers it computes in.
_QUANTIZED_BYTES: dict[KvType, float] = {"q8_0": 1, "q4_0": 0.5}
_GROUP = 32


def mlx(architecture: Architecture | None, loading: Loading) -> tuple[MemoryPart, ...]:
    """MLX: each weight once, keys and values in the weights' own numbers or, where it is asked for, in 8 or 4 bits.

    On CPUs it holds all scores of attention. With quantized keys it does so everywhere, as its fast kernel reads no
    others, and on CPUs it then copies those of a layer once for each head that shares them.
    """
    shape = architecture or STAND_IN
    tokens, kept = _tokens(loading), _room(loading.context)
    compute = tokens * 4 * (4 * shape.feed_forward + 6 * shape.hidden)
    small = _QUANTIZED_BYTES.get(loading.kv_type)
    if small is not None or not loading.flash_attention:
        compute += tokens * shape.heads * loading.context * loading.number_bytes
    value_bytes: float = loading.number_bytes
    if small is not None:
        value_bytes = small + 2 * loading.number_bytes / _GROUP
        if not loading.flash_attention:
            compute += int(2 * kept * shape.heads * shape.head_dim * value_bytes)
    runtime = MLX_RUNTIME + TORCH_BESIDE_MLX[loading.torch]
    beside = " and torch, which mlx-lm brings in where it is installed" if loading.torch else ""
    note = f"Python and libraries{beside}"
    return _bill(architecture, loading, kept, compute, runtime, note=note, value_bytes=value_bytes)


def onnx(architecture: Architecture | None, loading: Loading) -> tuple[MemoryPart, ...]:
    """ONNX Runtime: weights and a packed or widened copy of some, caches for the whole context at once."""
    shape = architecture or STAND_IN
    tokens = _tokens(loading)
    compute = tokens * 4 * (2 * shape.feed_forward + 4 * shape.hidden)
    compute += tokens * loading.context * 2 * shape.heads
    in_half = loading.number_bytes == 2 and not loading.gpu_layers
    copies = int(loading.weight_bytes * (WIDENED if in_half else PACKED))
    why = "widened to 32 bits" if in_half else "packed for the processor"
    return _placed(_bill(architecture, loading, loading.context, compute, ONNX_RUNTIME, copies, why), loading)


def transformers(architecture: Architecture | None, loading: Loading) -> tuple[MemoryPart, ...]:
    """PyTorch: each weight once, caches that grow with the conversation, the file beside weights that are widened."""
    shape = architecture or STAND_IN
    tokens = _tokens(loading)
    compute = tokens * loading.number_bytes * (3 * shape.feed_forward + 6 * shape.hidden) + 10 * MIB
    source = loading.weight_bytes // 2 if loading.widened else 0
    runtime = TORCH_RUNTIME[loading.torch or "cpu"]
    kept, why = _room(loading.context), "the file, while its numbers are widened"
    return _placed(_bill(architecture, loading, kept, compute, runtime, source, why), loading)


def unknown(architecture: Architecture | None, loading: Loading) -> tuple[MemoryPart, ...]:
    """A third party's runtime: as hungry as any of the above."""
    shape, tokens = architecture or STAND_IN, _tokens(loading)
    compute = tokens * 4 * (shape.vocabulary + 4 * max(shape.feed_forward, shape.hidden) + 6 * shape.hidden)
    compute += tokens * shape.heads * loading.context * 4
    hungry = replace(loading, number_bytes=4)
    runtime, copies = TORCH_RUNTIME["gpu"], loading.weight_bytes
    bill = _bill(architecture, hungry, _room(loading.context), compute, runtime, copies, "packed, widened or converted")
    return tuple(replace(part, grade="unknown") for part in bill)


def _bill(
    architecture: Architecture | None,
    loading: Loading,
    kept: int,
    compute: int,
    runtime: int,
    copies: int = 0,
    why_copies: str = "",
    *,
    note: str = "Python and libraries",
    value_bytes: float | None = None,
) -> tuple[MemoryPart, ...]:
    shape = architecture or STAND_IN
    grade: Grade = "estimated" if architecture else "unknown"
    kv = int(2 * shape.keys(kept) * shape.head_dim * (value_bytes or loading.number_bytes))
    tokens = _tokens(loading)
    bill = (
        MemoryPart("weights", loading.weight_bytes, "estimated", "every tensor as it is held, once"),
        MemoryPart("weight copies", copies, "estimated", why_copies),
        MemoryPart("KV cache", kv, grade, f"{len(shape.attention_layers)} of {shape.layers} layers attend"),
        MemoryPart("convolution state", 2 * conv_bytes(shape), grade, "whatever the context"),
        MemoryPart("compute buffers", compute, grade, f"{tokens} tokens at once"),
        MemoryPart("runtime", runtime, "estimated", note),
    )
    return tuple(part for part in bill if part.bytes)


def _placed(bill: tuple[MemoryPart, ...], loading: Loading) -> tuple[MemoryPart, ...]:
    """The bill with all but the libraries on the GPU, if that is where it computes. Nobody has measured this."""
    if not loading.gpu_layers:
        return bill
    where = loading.gpu_memory
    moved = (one if one.name == "runtime" else replace(one, grade="unknown", device=where) for one in bill)
    return (*moved, MemoryPart("GPU context", GPU_CONTEXT, "unknown", "driver and kernels", where))


def _tokens(loading: Loading) -> int:
    """Tokens computed at once."""
    return min(loading.micro_batch, loading.context)


def _room(tokens: int) -> int:
    """Tokens that a cache has room for when it has grown to hold `tokens`."""
    return round_up(tokens, _STEP)
