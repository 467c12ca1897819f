"""A model that is already on this disk: a GGUF file or a folder of them, safetensors, or ONNX graphs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from ..errors import ModelFileError
from .catalog import Catalog
from .entry import Artifact, File, ModelEntry
from .from_config import MAX_CONFIG_BYTES, Config
from .from_header import bare_name, entry_of
from .gguf import read_header
from .graphs import entry_of_graphs, graphs_in
from .plain import entry_from_config

_PART = re.compile(r"-(\d{5})-of-\d{5}\.gguf$")


def entry_at(path: Path, catalog: Catalog) -> ModelEntry:
    """The model at `path`. Raises `ModelFileError` if there is none, or none that is sound."""
    path = path.resolve()
    if path.is_dir():
        return _in_folder(path, catalog)
    if path.is_file() and path.suffix.lower() == ".onnx":
        return entry_of_graphs([path], catalog)
    if path.is_file() and path.suffix.lower() != ".gguf":
        raise ModelFileError(
            f"{path}: edgelfm runs .gguf and .onnx files, and folders that hold a config.json and .safetensors",
            hint=f"give the folder: {path.parent}" if path.suffix == ".safetensors" else "give a .gguf file",
        )
    return _with_projector(entry_of(read_header(path), str(path), catalog), path)


def _in_folder(folder: Path, catalog: Catalog) -> ModelEntry:
    models = [path for path in sorted(folder.glob("*.gguf")) if is_main_gguf(path.name)]
    if models:
        names = sorted({bare_name(path.name) for path in models})
        if len(names) > 1:
            raise ModelFileError(
                f"{folder}: holds several models: {', '.join(names)}", hint=f"name one file, such as {models[0]}"
            )
        entries = [entry_at(path, catalog) for path in models]
        return replace(entries[0], artifacts=tuple(artifact for entry in entries for artifact in entry.artifacts))
    if graphs := graphs_in(folder):
        return entry_of_graphs(graphs, catalog)
    config = folder / "config.json"
    weights = sorted(folder.glob("*.safetensors"))
    if not config.is_file() or not weights:
        raise ModelFileError(
            f"{folder}: holds no model: neither a .gguf or .onnx file nor a config.json with .safetensors",
            hint="give the folder that the weights were downloaded to",
        )
    if config.stat().st_size > MAX_CONFIG_BYTES:
        raise ModelFileError(f"{config}: is far too large to be a configuration", hint="download it again")
    described = Config(config.read_bytes(), str(config))
    files = tuple(File(path.name, bytes=path.stat().st_size) for path in weights)
    artifact = Artifact(described.backend, described.quantization, "", files, path=str(folder))
    entry = entry_from_config(described, folder.name, artifact, catalog)
    if described.backend == "transformers":  # mlx-lm reads unquantized weights as they were published, too
        entry = replace(entry, artifacts=(artifact, replace(artifact, backend="mlx")))
    return entry


def is_main_gguf(name: str) -> bool:
    """Whether a GGUF file is a model, or its first part, and not a companion or a later part."""
    part = _PART.search(name)
    companion = name.lower().startswith(("mmproj", "vocoder", "tokenizer", "audiodecoder"))
    return name.lower().endswith(".gguf") and not companion and (part is None or int(part[1]) == 1)


def projector_for(model: str, names: list[str]) -> str | None:
    """The projector that belongs to a model file, among the names beside it; the one in 8 bits where there are several.

    Case differs: LFM2.5-VL-1.6B comes with mmproj-LFM2.5-VL-1.6b.
    """
    stem = bare_name(model).lower()
    projectors = [name for name in names if name.lower().startswith("mmproj") and name.lower().endswith(".gguf")]
    fitting = [name for name in projectors if stem in name.lower()] or (projectors if len(projectors) == 1 else [])
    return min(fitting, key=lambda name: ("q8_0" not in name.lower(), name), default=None)


def _with_projector(entry: ModelEntry, path: Path) -> ModelEntry:
    found = projector_for(path.name, [item.name for item in path.parent.glob("*.gguf")])
    if found is None:
        return entry
    artifact = entry.artifacts[0]
    projector = File(found, "projector", (path.parent / found).stat().st_size)
    modalities = tuple(dict.fromkeys((*entry.modalities, "image")))
    return replace(entry, artifacts=(replace(artifact, files=(*artifact.files, projector)),), modalities=modalities)
