"""Which tensors of a Hugging Face model make up each tensor of its GGUF, and how their rows must be turned.

The names are those of the library `gguf`; which tensors there must be, and in which shapes, is `models.tensors`'.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from ..backends.weights import Stored, Weights
from ..errors import BackendMissing, ModelFileError
from ..models.architecture import Architecture
from ..models.tensors import tensors

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_EXPERT = re.compile(r"model\.layers\.(\d+)\.feed_forward\.experts\.(\d+)\.(w[123])\.weight")
_EXPERT_PARTS = {"w1": "gate", "w2": "down", "w3": "up"}
_BIASES = re.compile(r"blk\.\d+\.(attn_q|attn_k|attn_v|attn_output|ffn_gate|ffn_up|ffn_down)\.bias")


@dataclass(frozen=True, slots=True)
class Target:
    """A tensor of the GGUF."""

    name: str
    shape: tuple[int, ...]  # outermost first, as numpy has it
    type: str  # F32, F16, BF16
    sources: tuple[str, ...]  # one, or one an expert
    head: int = 0  # rows of one head of queries or keys, where llama.cpp keeps them in another order

    @property
    def bytes(self) -> int:
        """Without padding."""
        return math.prod(self.shape) * (4 if self.type == "F32" else 2)

    def pieces(self, weights: Weights) -> Iterator[Array]:
        """Its values as f32, in order, a bounded number of rows at a time."""
        for source in self.sources:
            for rows in weights.pieces(source, unit=self.head or 1):
                yield neighbours(rows, self.head) if self.head else rows


def gguf_library() -> Any:
    """The package `gguf`. Raises `BackendMissing`."""
    try:
        import gguf
    except ModuleNotFoundError as error:
        raise BackendMissing("the package gguf is not installed", hint="pip install 'edgelfm[convert]'") from error
    return gguf


def targets(net: Architecture, stored: Mapping[str, Stored], kind: str) -> list[Target]:
    """Every tensor of the GGUF with matrices as `kind`: F32, F16 or BF16.

    Raises `ModelFileError` where tensors are missing, too many or of another shape.
    """
    named = _named(net, stored)
    made = []
    for wanted in tensors(net, kind):
        sources = named.pop(wanted.name, {})
        shape = wanted.shape[::-1]
        many = shape[0] if "_exps." in wanted.name else 1
        if sorted(sources) != list(range(many)):
            _refuse(
                f"the weights lack {wanted.name}, or parts of it", "the folder is not whole, or config.json is not its"
            )
        for source in sources.values():
            _require_shape(source, stored[source].shape, shape[1:] if many > 1 else shape)
        parts = tuple(sources[index] for index in range(many))
        made.append(Target(wanted.name, shape, wanted.type, parts, head_rows(net, wanted.name)))
    for name, sources in named.items():
        source = sources[0]
        if net.name != "llama" or not _BIASES.fullmatch(name):
            _refuse(
                f"the weights hold {source}, which this network has no place for", "config.json is not that of them"
            )
        made.append(Target(name, stored[source].shape, "F32", (source,), head_rows(net, name)))
    return made


def name_map(net: Architecture) -> Any:
    """`.get_name(name in Hugging Face's model, try_suffixes=…)`: what llama.cpp calls it, or None."""
    gguf = gguf_library()
    arch = next(arch for arch, name in gguf.MODEL_ARCH_NAMES.items() if name == net.name)
    return gguf.get_tensor_name_map(arch, net.layers)


def _named(net: Architecture, stored: Mapping[str, Stored]) -> dict[str, dict[int, str]]:
    """Name in the GGUF, to names in the folder by number of the expert."""
    names = name_map(net)
    named: dict[str, dict[int, str]] = {}
    for source in stored:
        if source.endswith(".rotary_emb.inv_freq") or (source == "lm_head.weight" and net.tied_embeddings):
            continue
        if expert := _EXPERT.fullmatch(source):
            name, number = f"blk.{expert[1]}.ffn_{_EXPERT_PARTS[expert[3]]}_exps.weight", int(expert[2])
        elif source.endswith(".feed_forward.expert_bias"):
            name, number = names.get_name(source) + ".bias", 0
        else:
            name, number = _plain(names, source), 0
        named.setdefault(name, {})[number] = source
    return named


def _plain(names: Any, source: str) -> str:
    if source == "lm_head.weight":
        return "output.weight"
    name = names.get_name(source, try_suffixes=(".weight", ".bias"))
    if name is None:
        _refuse(f"the weights hold {source}, which llama.cpp has no name for", "config.json is not that of them")
    return str(name)


def _require_shape(source: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if tuple(side for side in found if side != 1) != tuple(side for side in wanted if side != 1):
        _refuse(
            f"{source} has the shape {list(found)}, {list(wanted)} follows from config.json", "one of them is not whole"
        )


def head_rows(net: Architecture, name: str) -> int:
    """Rows of one head in the tensor `name`, if llama.cpp keeps them in another order; else 0."""
    return net.head_dim if net.name == "llama" and (".attn_q." in name or ".attn_k." in name) else 0


def neighbours(rows: Array, head: int) -> Array:
    """Rows of queries or keys in llama.cpp's order.

    It rotates neighbouring rows of a head, Hugging Face a row and the one half a head further.
    """
    turned: Array = rows.reshape(-1, 2, head // 2, rows.shape[-1]).swapaxes(1, 2).reshape(rows.shape)
    return turned


def _refuse(reason: str, hint: str) -> NoReturn:
    raise ModelFileError(reason, hint=hint)
