"""Which weights llama.cpp rewrites for this CPU when it loads them, and which it then keeps twice.

Rewritten rows are interleaved so that one instruction serves several of them. For which storage types that is done
hangs on what the library was compiled for: see `ggml_repack_get_optimal_repack_type` in ggml/src/ggml-cpu/repack.cpp
and `qtype_has_amx_kernels` in ggml/src/ggml-cpu/amx/common.h (llama.cpp in llama-cpp-python 0.3.36).
"""

from __future__ import annotations

from collections.abc import Iterable

from ..hardware.host import Host
from ..models.ggml import Tensor

#: Storage types by the instruction set that has kernels for them.
TYPES = {
    "avx2": ("Q4_0", "Q4_K", "IQ4_NL", "MXFP4"),
    "avx512": ("Q2_K",),
    "dotprod": ("Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "IQ4_NL", "MXFP4"),
    "amx_int8": ("Q4_0", "Q4_1", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "IQ4_XS"),
}
ROWS = 8  # rows interleaved at once; a tensor whose rows do not divide by it is left alone


def repacked_types(host: Host) -> frozenset[str]:
    """Storage types that are rewritten: by the build where llama.cpp is installed, else by what the CPU could do."""
    runtime = host.runtime("llama.cpp")
    if runtime is not None and runtime.installed and runtime.build:
        able = {word.lower() for word in runtime.build}
    else:
        able = {"avx512" if word == "avx512f" else word for word in host.cpu.features}
    return frozenset(kind for feature, kinds in TYPES.items() if feature in able for kind in kinds)


def repacked_bytes(tensors: Iterable[Tensor], types: frozenset[str]) -> int:
    """Bytes of the weights that are rewritten, the copy of a tied embedding aside."""
    return sum(one.bytes for one in tensors if one.name != "token_embd.weight" and _repacks(one, types))


def copied_bytes(tensors: Iterable[Tensor], types: frozenset[str], *, tied: bool) -> int:
    """Bytes of a tied embedding that is kept twice: as stored to look up rows, and rewritten as the output head."""
    if not tied:
        return 0
    return sum(one.bytes for one in tensors if one.name == "token_embd.weight" and _repacks(one, types))


def _repacks(tensor: Tensor, types: frozenset[str]) -> bool:
    return tensor.type in types and len(tensor.shape) > 1 and tensor.shape[1] % ROWS == 0
