"""Entries for ONNX graphs on this disk: the layout of published repositories, and folders of onnxruntime-genai.

A published repository may be a folder of onnxruntime-genai as well, with its graphs in `onnx/`; then config.json beside
them says more. Only names, sizes and JSON are read here. Whether a graph is sound is found out when it is opened.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from ..errors import ModelFileError
from .architecture import Architecture
from .catalog import Catalog
from .entry import Artifact, File, ModelEntry
from .from_config import MAX_CONFIG_BYTES, Config
from .from_header import same_sizes
from .plain import entry_from_config

GENAI = "genai_config.json"
_MAIN = re.compile(r"(?:model|decoder_model_merged)(?:_(?P<quantization>\w+))?\.onnx")
#: Bits per weight of a file, at least, and what such a graph is called. Embeddings are often wider than the rest.
_BY_BITS = ((24, "fp32"), (13.5, "fp16"), (10, "q8"), (0, "q4"))


def graphs_in(folder: Path) -> list[Path]:
    """The graphs of language models in a folder, or in its folder `onnx`."""
    inside = folder / "onnx" if (folder / "onnx").is_dir() else folder
    if (folder / GENAI).is_file() and inside == folder:
        return sorted(folder.glob("*.onnx"))[:1]
    return [path for path in sorted(inside.glob("*.onnx")) if _MAIN.fullmatch(path.name)]


def entry_of_graphs(graphs: list[Path], catalog: Catalog) -> ModelEntry:
    """The model that these graphs are forms of. Raises `ModelFileError` if nothing describes it."""
    folder = graphs[0].parent
    if (folder / GENAI).is_file():
        return _of_genai(graphs[0], catalog)
    root = folder.parent if folder.name == "onnx" else folder
    artifacts = tuple(_artifact(path, quantization_of(path)) for path in graphs)
    entry = entry_from_config(_config(root / "config.json"), root.name, artifacts[0], catalog)
    return replace(entry, artifacts=artifacts)


def quantization_of(graph: Path) -> str:
    """By the name of the file: `model_q4.onnx` is q4, `model.onnx` fp32."""
    match = _MAIN.fullmatch(graph.name)
    named = (match["quantization"] if match else None) or "fp32"
    return "q8" if named == "quantized" else named  # as transformers.js calls it


def _of_genai(graph: Path, catalog: Catalog) -> ModelEntry:
    """genai_config.json names every size but that of the feed-forward layers. A card of the same sizes knows it."""
    path = graph.parent / GENAI
    try:
        model = json.loads(path.read_bytes())["model"]
        decoder = model["decoder"]
        values = {
            "model_type": str(model["type"]),
            "hidden_size": decoder["hidden_size"],
            "num_hidden_layers": decoder["num_hidden_layers"],
            "num_attention_heads": decoder["num_attention_heads"],
            "num_key_value_heads": decoder["num_key_value_heads"],
            "head_dim": decoder["head_size"],
            "vocab_size": model["vocab_size"],
            "max_position_embeddings": model["context_length"],
            "intermediate_size": 4 * decoder["hidden_size"],
            "block_auto_adjust_ff_dim": False,
            "conv_L_cache": decoder.get("conv_cache_size", 0) + 1,
        }
        if "layer_types" in decoder:
            values["layer_types"] = decoder["layer_types"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path}: cannot be read: {error!r}", hint="build the folder again") from error
    config = Config(json.dumps(values).encode(), str(path))
    artifact = _artifact(graph, "")
    entry = entry_from_config(config, graph.parent.name, artifact, catalog)
    shape = config.architecture()
    like = next((one for one in catalog if shape and one.architecture and _alike(one.architecture, shape)), None)
    count = like.parameters if like else entry.parameters
    stored = sum(file.bytes or 0 for file in artifact.files)
    bits = 8 * stored / count if count else 0
    quantization = next(name for least, name in _BY_BITS if bits >= least)
    return replace(
        entry,
        architecture=like.architecture if like else entry.architecture,
        parameters=count,
        artifacts=(replace(artifact, quantization=quantization),),
    )


def _alike(one: Architecture, other: Architecture) -> bool:
    return same_sizes(replace(one, feed_forward=0), replace(other, feed_forward=0))


def _artifact(graph: Path, quantization: str) -> Artifact:
    beside = sorted(path for path in graph.parent.iterdir() if path.name.startswith(graph.name))
    data = [path for path in beside if re.fullmatch(r"[._]data\w*", path.name.removeprefix(graph.name))]
    files = tuple(File(path.name, bytes=path.stat().st_size) for path in (graph, *data))
    return Artifact("onnx", quantization, "", files, path=str(graph))


def _config(path: Path) -> Config:
    if not path.is_file():
        raise ModelFileError(
            f"{path} is not there: it says what the graph expects", hint="download it beside the folder onnx"
        )
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise ModelFileError(f"{path}: is far too large to be a configuration", hint="download it again")
    return Config(path.read_bytes(), str(path))
