"""Where in a folder the graph, its tokenizer and its names are: the published layout, or that of onnxruntime-genai.

Liquid AI's exporter writes both at once since it builds on onnxruntime-genai: genai_config.json at the top of the
repository, which names one of the graphs in `onnx/`. Reads JSON and names of files only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ...errors import ModelFileError
from ..safetensors import read_json

_GENAI = "genai_config.json"
_AGAIN = "build the folder again, or download it again"
#: Parts of a genai folder that only its own pipelines can put together.
_PARTS = ("encoder", "vision", "speech", "embedding", "encoder_decoder_init")
#: Ends of file names in the published layout by the catalogue's word for the quantization, the likeliest first. 8 bits
#: are `_q8` to Liquid AI and `_quantized` to transformers.js, whose names onnx-community has.
_SUFFIXES = {"q8": ("_q8", "_quantized"), "f16": ("_fp16",), "fp32": ("",), "f32": ("",)}


@dataclass(frozen=True, slots=True)
class Names:
    """What a graph calls its inputs and outputs. `%d` stands for the number of the layer."""

    input_ids: str = "input_ids"
    attention_mask: str = "attention_mask"
    position_ids: str = "position_ids"
    logits_to_keep: str = "num_logits_to_keep"
    logits: str = "logits"
    past: tuple[str, ...] = ("past_key_values.%d.key", "past_key_values.%d.value")
    present: tuple[str, ...] = ("present.%d.key", "present.%d.value")
    past_conv: str = "past_conv.%d"
    present_conv: str = "present_conv.%d"


@dataclass(frozen=True, slots=True)
class Layout:
    """A model on disk."""

    graph: Path
    folder: Path  # of the tokenizer
    config: Mapping[str, Any]  # special tokens, and sizes that the graph may leave open
    names: Names = Names()
    may_share: bool = True  # whether past and present keys and values may lie in the same memory
    providers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # that the folder was made for: options


def find_layout(weights: Path, quantization: str = "") -> Layout:
    """The model at `weights`, a graph or a folder. `quantization` chooses among several graphs.

    Raises `ModelFileError` naming what is missing.
    """
    if weights.is_dir():
        several = (weights / "onnx").is_dir() and quantization
        if (weights / _GENAI).is_file() and not several:
            return _genai(weights, None)
        weights = _choose(weights, quantization)
    root = weights.parent.parent if weights.parent.name == "onnx" else weights.parent
    for folder in (weights.parent, root):
        if (folder / _GENAI).is_file():
            return _genai(folder, weights)
    return Layout(weights, root, read_json(root / "config.json"))


def _choose(folder: Path, quantization: str) -> Path:
    inside = folder / "onnx" if (folder / "onnx").is_dir() else folder
    found = sorted(inside.glob("model*.onnx"))
    suffixes = _SUFFIXES.get(quantization.lower(), (f"_{quantization.lower()}",))
    wanted = [inside / f"model{suffix}.onnx" for suffix in suffixes]
    fitting = [path for path in wanted if path in found] or (found if len(found) == 1 else [])
    if not found:
        raise ModelFileError(
            f"{folder} holds no model*.onnx", hint="give the folder that holds genai_config.json or onnx/model*.onnx"
        )
    if not fitting:
        raise ModelFileError(
            f"{folder} holds several graphs and none called {wanted[0].name}: {', '.join(path.name for path in found)}",
            hint=f"name one file, such as {found[0]}",
        )
    return fitting[0]


def _genai(folder: Path, graph: Path | None) -> Layout:
    path = folder / _GENAI
    whole = read_json(path)
    model = _object(path, whole, "model")
    decoder = _object(path, model, "decoder")
    parts = [part for part in _PARTS if part in model]
    if parts or decoder.get("pipeline"):
        what = f"made of several graphs ({', '.join(parts)})" if parts else "a pipeline of several graphs"
        raise ModelFileError(
            f"{folder}: this model is {what}, which edgelfm cannot drive",
            hint="choose a text model, or another format of this one: `edgelfm models`",
        )
    if decoder.get("sliding_window"):
        raise ModelFileError(
            f"{folder}: the graph wants its input in windows, as some NPUs do, which edgelfm cannot drive",
            hint="build it again without a sliding window, or run it with onnxruntime-genai",
        )
    if graph is None:
        graph = _inside(folder, str(decoder.get("filename") or "model.onnx"))
    search = whole.get("search")
    share = search.get("past_present_share_buffer", True) if isinstance(search, dict) else True
    config = {**model, "head_dim": decoder.get("head_size"), "hidden_size": decoder.get("hidden_size"),
              "conv_L_cache": decoder.get("conv_cache_size")}  # fmt: skip
    try:
        names, providers = _genai_names(decoder), _genai_providers(decoder)
    except (AttributeError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path} cannot be understood: {error}", hint=_AGAIN) from error
    return Layout(graph, folder, config, names, bool(share), providers)


def _inside(folder: Path, name: str) -> Path:
    """The graph that a configuration names, which lies in its folder or in one inside it."""
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or ":" in name:
        raise ModelFileError(
            f"{folder / _GENAI} wants the graph {name!r}, which is outside its folder", hint="do not trust this folder"
        )
    return folder / pure


def _genai_names(decoder: Mapping[str, Any]) -> Names:
    """What the graph calls things. Raises what a wrong type or a pattern without one `%d` does."""
    names = Names(past_conv="past.%d.conv", present_conv="present.%d.conv")
    inputs, outputs = (
        {key: name for key, name in (decoder.get(side) or {}).items() if name is not None}
        for side in ("inputs", "outputs")
    )
    found = replace(
        names,
        input_ids=inputs.get("input_ids", names.input_ids),
        attention_mask=inputs.get("attention_mask", names.attention_mask),
        position_ids=inputs.get("position_ids", names.position_ids),
        logits=outputs.get("logits", names.logits),
        past=tuple(
            inputs.get(key, name) for key, name in zip(("past_key_names", "past_value_names"), names.past, strict=True)
        ),
        present=tuple(
            outputs.get(key, name)
            for key, name in zip(("present_key_names", "present_value_names"), names.present, strict=True)
        ),
        past_conv=inputs.get("past_conv_names", names.past_conv),
        present_conv=outputs.get("present_conv_names", names.present_conv),
    )
    for name in (found.input_ids, found.attention_mask, found.position_ids, found.logits):
        if not isinstance(name, str):
            raise TypeError(f"{name!r} is no name")
    for pattern in (*found.past, *found.present, found.past_conv, found.present_conv):
        if not isinstance(pattern, str) or pattern.count("%") != 1 or "%d" not in pattern:
            raise TypeError(f"{pattern!r} is no name with the number of a layer in it")
    return found


def _genai_providers(decoder: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Options by provider. Those that lead to a place are refused: some of them name a library, which would be run."""
    listed = (decoder.get("session_options") or {}).get("provider_options") or []
    found = {
        str(name): {key: str(value) for key, value in (options or {}).items()}
        for entry in listed
        for name, options in entry.items()
    }
    for provider, options in found.items():
        for key, value in options.items():
            if "/" in value or "\\" in value:
                raise ValueError(f"{key} of {provider} leads to {value!r}, and edgelfm follows no path of a model's")
    return found


def _object(path: Path, values: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = values.get(key)
    if not isinstance(found, dict):
        raise ModelFileError(f"{path} has no {key!r}", hint=_AGAIN)
    return found
