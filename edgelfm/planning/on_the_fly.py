"""Fewer bits that PyTorch makes of the weights while it loads them: by which library, and what the weights take then.

Matrices inside the layers are made smaller; embeddings and norms stay in bf16.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from ..models.architecture import Architecture
from ..models.entry import Artifact

#: Bits of one weight of a matrix, scales included: bitsandbytes keeps one of 32 bits per 64 weights beside its 4.
BITS = {"int8": 8.1, "int4": 4.5}
#: Libraries that can do it, the better one first. torchao's kernels for 4 bits are for CUDA alone.
_MAKERS = {
    ("int8", "cuda"): ("bitsandbytes", "torchao"),
    ("int4", "cuda"): ("bitsandbytes", "torchao"),
    ("int8", "cpu"): ("torchao", "bitsandbytes"),
    ("int4", "cpu"): ("bitsandbytes",),
}
#: Times the bytes of the file that main memory holds besides while the weights are made smaller: the file, and its
#: numbers. LFM2-350M with transformers 5.24 on a CPU: 2.08 (torchao, int8), 1.7 to 2.1 (bitsandbytes, int4).
WHILE_MADE = 2.1
_WHOLE = ("bf16", "fp16", "fp32")


def makers(quantization: str, device: str) -> tuple[str, ...]:
    """Packages that make weights of so many bits on `device` ("cuda", "cuda:1", "cpu", …); none where nobody can."""
    return _MAKERS.get((quantization, device.partition(":")[0]), ())


def maker(quantization: str, device: str, installed: Collection[str]) -> str | None:
    """The best of them that is among `installed`."""
    return next((name for name in makers(quantization, device) if name in installed), None)


def derived(published: Sequence[Artifact], quantization: str) -> tuple[Artifact, ...]:
    """The artifact that weights of so many bits are made from, under their name; none where they are published."""
    whole = sorted(
        (one for one in published if one.quantization in _WHOLE), key=lambda one: _WHOLE.index(one.quantization)
    )
    if quantization not in BITS or any(one.quantization == quantization for one in published):
        return ()
    return tuple(replace(one, quantization=quantization) for one in whole[:1])


def made_bytes(parameters: int, net: Architecture, quantization: str) -> int:
    """Bytes of all weights, of which the embedding, and a head of its own, stay in 16 bits."""
    outside = net.vocabulary * net.hidden * (1 if net.tied_embeddings else 2)
    return round(2 * outside + (parameters - outside) * BITS[quantization] / 8)
