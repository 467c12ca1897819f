"""Which storage type llama.cpp's quantizer gives each tensor, for the quantizations people publish.

The rules are those of `llama_tensor_get_type_impl` and `tensor_allows_quantization` in llama.cpp's src/llama-quant.cpp,
as built into llama-cpp-python 0.3.36, without an importance matrix. Left out: the rules of architectures that edgelfm
does not size (Falcon, 70B Llama), hand-made mixes and the quantizations that need an importance matrix; a file in one
of those is sized from its own header.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .ggml import TYPES

Part = Literal["embedding", "output", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_down", "other", "kept"]

#: Quantization name to the type of an ordinary tensor, as in `llama_ftype_get_default_type`.
DEFAULT_TYPE = {
    "F32": "F32",
    "F16": "F16",
    "BF16": "BF16",
    "Q4_0": "Q4_0",
    "Q4_1": "Q4_1",
    "Q5_0": "Q5_0",
    "Q5_1": "Q5_1",
    "Q8_0": "Q8_0",
    "Q3_K_S": "Q3_K",
    "Q3_K_M": "Q3_K",
    "Q3_K_L": "Q3_K",
    "Q4_K_S": "Q4_K",
    "Q4_K_M": "Q4_K",
    "Q5_K_S": "Q5_K",
    "Q5_K_M": "Q5_K",
    "Q6_K": "Q6_K",
}  # fmt: skip

#: What replaces a 256-value block where a row is not a multiple of 256.
_FALLBACK = {"Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
_FLOATS = ("F32", "F16", "BF16")


@dataclass(frozen=True, slots=True)
class Place:
    """What the quantizer looks at when it chooses a type."""

    part: Part  # "kept" is never quantized
    row: int  # values in a row, the first dimension
    index: int = 0  # of its kind: attention layers are counted for attn_v, all layers for ffn_down
    count: int = 1  # how many of its kind there are


def storage_type(place: Place, quantization: str, *, tied: bool, experts: int = 0) -> str:
    """Name of the ggml type of a tensor. `tied`: the embedding is also the output head."""
    default = DEFAULT_TYPE[quantization]
    if place.part == "kept":
        return "F32"
    if default in _FLOATS:
        return default
    if place.part == "output" or (place.part == "embedding" and tied):
        return _fitting(_head_type(default, place.row), place.row)
    return _fitting(_body_type(place, quantization, default, experts), place.row)


def _head_type(default: str, row: int) -> str:
    """The output head gets more bits than the rest, because every answer passes through it."""
    if row % TYPES[default].block:
        return "Q8_0"
    return default if default == "Q8_0" else "Q6_K"


def _body_type(place: Place, quantization: str, default: str, experts: int) -> str:
    match place.part, quantization:
        case (("attn_v" | "attn_k"), _) if experts == 8:
            return "Q8_0"
        case "attn_output", ("Q3_K_S" | "Q3_K_M" | "Q4_K_S" | "Q4_K_M") if experts == 8:
            return "Q5_K"
        case (("attn_v" | "ffn_down"), ("Q4_K_M" | "Q5_K_M")) if _more_bits(place.index, place.count):
            return "Q6_K"
        case "attn_v", "Q4_K_S" if place.index < 4:
            return "Q5_K"
        case "ffn_down", "Q4_K_S" if place.index < place.count // 8:
            return "Q5_K"
        case "attn_v", "Q3_K_M":
            return "Q5_K" if place.index < 2 else "Q4_K"
        case "ffn_down", "Q3_K_M":
            return "Q5_K" if place.index < place.count // 16 else "Q4_K"
        case "attn_output", "Q3_K_M":
            return "Q4_K"
        case "attn_output", "Q3_K_L" if experts == 8:
            return default
        case (("attn_v" | "ffn_down" | "attn_output"), "Q3_K_L"):
            return "Q5_K"
    return default


def _more_bits(index: int, count: int) -> bool:
    """The first and last eighth, and every third of the layers between."""
    return index < count // 8 or index >= 7 * count // 8 or (index - count // 8) % 3 == 2


def _fitting(type: str, row: int) -> str:
    """The type itself where rows are whole blocks, else the next one with smaller blocks, else F16."""
    if row % TYPES[type].block == 0:
        return type
    smaller = _FALLBACK.get(type, type)
    return smaller if row % TYPES[smaller].block == 0 else "F16"
