"""Which files an artifact comes down to: parts of split files, whole folders, companions.

Pure functions over names; it asks no hub and looks at no disk.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from .entry import Artifact, File

#: Runtimes that open a folder: configuration, tokenizer and weights together.
FOLDER_BACKENDS = frozenset({"mlx", "transformers"})
_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.gguf)")
_WEIGHTS = (".safetensors", ".onnx", ".gguf")
# Weights in pickle can run code when they are opened; safetensors lie beside them. Pages and pictures are for browsers.
_LEFT_OUT = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".md", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".mp4")


def folder_of(artifact: Artifact) -> str | None:
    """The folder inside the repository that is wanted whole, "" for all of it; None if single files are wanted."""
    for file in artifact.files:
        if file.name.endswith("/"):
            return "" if file.name in ("./", "/") else file.name.strip("/")
    if artifact.backend in FOLDER_BACKENDS and artifact.files:
        parent = PurePosixPath(artifact.files[0].name).parent.as_posix()
        return "" if parent == "." else parent
    return None


def single_files(artifact: Artifact) -> tuple[File, ...]:
    """Every file of an artifact of single files; a split GGUF is named by its first part and stands for all."""
    return tuple(part for file in artifact.files for part in _parts(file))


def is_pattern(file: File) -> bool:
    """Whether a file stands for all that the repository has of such a name, be it none: `onnx/model_q4.onnx_data*`."""
    return "*" in file.name


def names_of(artifact: Artifact, listed: Iterable[str] = ()) -> list[str]:
    """Names of all files of an artifact of single files; its patterns stand for what of `listed` they fit."""
    named = [file.name for file in single_files(artifact) if not is_pattern(file)]
    listed = list(listed)
    fitting = [name for file in artifact.files if is_pattern(file) for name in matching(file, listed)]
    return list(dict.fromkeys((*named, *fitting)))


def matching(pattern: File, listed: Iterable[str]) -> list[str]:
    """Of `listed` the names that fit. A star is any part of one name, never of the folders before it."""
    expression = re.compile("[^/]*".join(re.escape(part) for part in pattern.name.split("*")))
    return [name for name in listed if expression.fullmatch(name)]


def in_folder(names: Iterable[str], folder: str) -> list[str]:
    """Of all files of a repository those that belong to `folder`, without what no runtime opens."""
    inside = [name for name in names if not folder or name.startswith(f"{folder}/")]
    return [name for name in inside if not name.lower().endswith(_LEFT_OUT) and not _hidden(name)]


def folder_is_whole(folder: Path) -> bool:
    """Whether a folder on this disk holds a model: weights, all parts of them, and a configuration beside safetensors.

    `store` shows a folder's files only when all have arrived; this is for folders that other tools began.
    """
    weights = [path for path in folder.glob("*") if path.suffix in _WEIGHTS and path.is_file()]
    if not weights:
        return False
    if any(path.suffix == ".safetensors" for path in weights) and not (folder / "config.json").is_file():
        return False
    try:
        index = json.loads((folder / "model.safetensors.index.json").read_bytes())
        wanted = {str(name) for name in index["weight_map"].values()}
    except FileNotFoundError:
        return True
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return False
    return all((folder / name).is_file() for name in wanted)


def _parts(file: File) -> list[File]:
    match = _PART.fullmatch(file.name)
    if not match or int(match["number"]) != 1:
        return [file]
    count = int(match["count"])
    rest = [f"{match['stem']}-{number:05d}-of-{count:05d}{match['suffix']}" for number in range(2, count + 1)]
    return [file, *(File(name, file.role) for name in rest)]


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))
