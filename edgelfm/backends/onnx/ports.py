"""The inputs and outputs of a graph, each known by what it is for; and a clear word where one is missing or unknown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ...errors import ModelFileError
from .layout import Names

#: ONNX Runtime's words for the types that edgelfm fills and reads, and numpy's.
_TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
}
_HINT = "take a decoder with past keys and values, as LiquidAI publishes and onnxruntime-genai builds"


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output that is not a cache."""

    name: str
    dtype: str  # numpy's word
    rank: int


@dataclass(frozen=True, slots=True)
class Cache:
    """Something that goes in as the past and comes out as the present."""

    past: str
    present: str
    dtype: str
    shape: tuple[int, ...]  # keys and values: heads, size of a head; convolution: width, inputs kept


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything that goes in and out. None where a graph does without."""

    input_ids: Port
    attention_mask: Port | None
    position_ids: Port | None
    logits_to_keep: Port | None
    logits: Port
    vocabulary: int  # logits in a row
    attention: tuple[Cache, ...]  # keys and values of each layer that attends
    convolution: tuple[Cache, ...]


def find_ports(session: Any, names: Names, config: Mapping[str, Any], path: Path) -> Ports:
    """The ports of a loaded graph. Raises `ModelFileError` naming what is missing or not understood."""
    inputs = {port.name: port for port in session.get_inputs()}
    outputs = {port.name: port for port in session.get_outputs()}
    if names.input_ids not in inputs:
        takes = "it takes embeddings: the decoder of a model that sees or hears" if "inputs_embeds" in inputs else ""
        _refuse(path, f"has no input {names.input_ids!r}", takes or f"its inputs are {_listed(inputs)}")
    if names.logits not in outputs:
        _refuse(path, f"has no output {names.logits!r}", f"its outputs are {_listed(outputs)}")
    attention = tuple(_attention(inputs, outputs, names, config, path))
    convolution = tuple(_convolution(inputs, outputs, names, config, path))
    if not attention and not convolution:
        _refuse(path, "keeps nothing of the tokens it has seen", f"its inputs are {_listed(inputs)}")
    single = (names.input_ids, names.attention_mask, names.position_ids, names.logits_to_keep)
    if unknown := inputs.keys() - {*single, *(cache.past for cache in (*attention, *convolution))}:
        _refuse(path, f"wants inputs that edgelfm does not know: {_listed(unknown)}", "")
    ids, mask, positions, keep = (_port(inputs[name], path) if name in inputs else None for name in single)
    assert ids is not None
    words = outputs[names.logits].shape[-1]
    vocabulary = words if isinstance(words, int) else config.get("vocab_size")
    if not isinstance(vocabulary, int):
        _refuse(path, "does not say how many words it knows", "nor does config.json")
    logits = _port(outputs[names.logits], path)
    return Ports(ids, mask, positions, keep, logits, vocabulary, attention, convolution)


def _attention(
    inputs: Mapping[str, Any], outputs: Mapping[str, Any], names: Names, config: Mapping[str, Any], path: Path
) -> Iterator[Cache]:
    for past_name, present_name in zip(names.past, names.present, strict=True):
        for past, present in _pairs(inputs, outputs, past_name, present_name, path):
            port = _port(past, path)
            if port.rank != 4:
                _refuse(path, f"keeps {past.name} in {port.rank} dimensions", "it must be batch, heads, tokens, size")
            heads = _size(past.shape[1], config.get("num_key_value_heads"))
            size = _size(past.shape[3], config.get("head_dim") or _quotient(config))
            if heads is None or size is None:
                _refuse(path, f"does not say how large {past.name} is", f"it has the shape {past.shape}")
            yield Cache(past.name, present, port.dtype, (heads, size))


def _convolution(
    inputs: Mapping[str, Any], outputs: Mapping[str, Any], names: Names, config: Mapping[str, Any], path: Path
) -> Iterator[Cache]:
    for past, present in _pairs(inputs, outputs, names.past_conv, names.present_conv, path):
        port = _port(past, path)
        width = _size(past.shape[1], config.get("hidden_size"))
        kept = _size(past.shape[-1], config.get("conv_L_cache"))
        if port.rank != 3 or width is None or kept is None:
            _refuse(path, f"does not say how large {past.name} is", f"it has the shape {past.shape}")
        yield Cache(past.name, present, port.dtype, (width, kept))


def _pairs(
    inputs: Mapping[str, Any], outputs: Mapping[str, Any], past: str, present: str, path: Path
) -> Iterator[tuple[Any, str]]:
    """Each input of that pattern, in the order of layers, and the name of its output."""
    number = re.compile(re.escape(past).replace("%d", r"(\d+)"))
    layers = sorted(int(match[1]) for name in inputs if (match := number.fullmatch(name)))
    for layer in layers:
        if present % layer not in outputs:
            _refuse(path, f"has the input {past % layer!r} and no output {present % layer!r}", "")
        yield inputs[past % layer], present % layer


def _port(found: Any, path: Path) -> Port:
    if found.type not in _TYPES:
        _refuse(path, f"has {found.name!r} in the type {found.type}, which edgelfm cannot fill", "")
    return Port(found.name, _TYPES[found.type], len(found.shape))


def _size(in_graph: Any, in_config: Any) -> int | None:
    return next((size for size in (in_graph, in_config) if isinstance(size, int) and size > 0), None)


def _quotient(config: Mapping[str, Any]) -> int | None:
    hidden, heads = config.get("hidden_size"), config.get("num_attention_heads")
    return hidden // heads if isinstance(hidden, int) and isinstance(heads, int) and heads else None


def _listed(names: Any) -> str:
    some = sorted(names)
    return ", ".join(some[:8]) + (f" and {len(some) - 8} more" if len(some) > 8 else "")


def _refuse(path: Path, reason: str, more: str) -> NoReturn:
    raise ModelFileError(f"{path} {reason}" + (f"; {more}" if more else ""), hint=_HINT)
