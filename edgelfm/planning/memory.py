"""How much memory will the process take at its peak? One model of memory for each backend, in a table.

Pure arithmetic: knows nothing of what this machine has free. Sizes that follow from the shape of the network are
computed as the runtime computes them; what hangs on versions and allocators, the interpreter above all, was measured.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from ..models.architecture import Architecture
from . import memory_llama_cpp, memory_others
from .loading import Loading, Torch
from .plan import Device, KvType, MemoryEstimate, MemoryPart

MemoryModel = Callable[[Architecture | None, Loading], tuple[MemoryPart, ...]]

MODELS: dict[str, MemoryModel] = {
    "llama.cpp": memory_llama_cpp.parts,
    "onnx": memory_others.onnx,
    "transformers": memory_others.transformers,
    "mlx": memory_others.mlx,
}


@lru_cache(maxsize=4096)
def estimate(
    backend: str,
    architecture: Architecture | None,
    *,
    weight_bytes: int,
    context: int,
    repacked_bytes: int = 0,
    micro_batch: int = 512,
    batch: int = 512,
    kv_type: KvType = "f16",
    flash_attention: bool = True,
    mmap: bool = False,
    gpu_layers: int = 0,
    gpu_memory: Device = "gpu",
    number_bytes: int = 2,
    widened: bool = False,
    torch: Torch = "",
) -> MemoryEstimate:
    """Peak memory of the whole process with the context full, part by part.

    `architecture` None is an unpublished one: a large ordinary transformer stands in for it. `gpu_memory` is "host"
    where the GPU shares main memory; then nothing is counted twice. A backend without a model of its own is taken for
    the hungriest there is, and graded unknown.
    """
    loading = Loading(
        weight_bytes,
        context,
        repacked_bytes,
        micro_batch,
        batch,
        kv_type,
        flash_attention,
        mmap,
        gpu_layers,
        gpu_memory,
        number_bytes,
        widened,
        torch,
    )
    return MemoryEstimate(MODELS.get(backend, memory_others.unknown)(architecture, loading))
