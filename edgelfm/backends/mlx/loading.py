"""From a folder of safetensors to a network in memory, with its tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import BackendError, ModelFileError
from ..base import Progress
from ..safetensors import read_json, require_whole
from ..vocabulary import Vocabulary
from .beside import Beside, attach
from .library import Library, library


@dataclass(frozen=True, slots=True)
class Loaded:
    """A network, its tokenizer, and the bytes of its weights."""

    folder: Path
    library: Library
    model: Any  # mlx.nn.Module, called with token ids of shape (1, n) and a cache
    vocabulary: Vocabulary
    weight_bytes: int
    beside: Beside | None = None  # an adapter


def load(folder: Path, progress: Progress | None = None, adapter: Path | None = None) -> Loaded:
    """Load `folder`, which holds a config.json, weights and a tokenizer.json. No code in it is ever run.

    `adapter` is the folder of a LoRA that runs beside it.

    Raises `BackendMissing`, `ModelFileError` for what is missing or broken, `BackendError` if MLX gives up.
    """
    lib = library()
    if not folder.is_dir():
        raise ModelFileError(f"{folder} is not a folder", hint="give the folder that holds config.json and the weights")
    config = read_json(folder / "config.json")
    if "model_file" in config:
        raise ModelFileError(
            f"{folder} comes with a program of its own ({config['model_file']!r}), and edgelfm runs no code of models",
            hint="choose a model that mlx-lm knows by itself",
        )
    require_whole(folder)
    vocabulary = Vocabulary(folder, config)
    model = _network(lib, folder, config)
    weight_bytes = _read_weights(lib, model, folder, progress)
    beside = attach(lib, model, adapter) if adapter is not None else None
    return Loaded(folder, lib, model, vocabulary, weight_bytes, beside)


def _network(lib: Library, folder: Path, config: Mapping[str, Any]) -> Any:
    try:
        model, _ = lib.models.load_model(folder, lazy=True, trust_remote_code=False)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # What mlx-lm raises when a configuration lacks a key, names an unknown family or does not fit the weights.
        reason = f"no {error} in it" if isinstance(error, KeyError) else str(error)
        raise ModelFileError(
            f"{folder}: mlx-lm cannot make a {config.get('model_type', 'nameless')!r} model of it: {reason}",
            hint="pip install --upgrade mlx-lm, or take weights that were converted for MLX",
        ) from error
    except RuntimeError as error:
        raise BackendError(f"MLX cannot load {folder}: {error}", hint="download the model again") from error
    return model


def _read_weights(lib: Library, model: Any, folder: Path, progress: Progress | None) -> int:
    """Bring the weights into memory, reporting how far it got. Returns their bytes."""
    weights = [array for _, array in lib.trees.tree_flatten(model.parameters())]
    total, done = sum(array.nbytes for array in weights), 0
    for array in weights:
        try:
            lib.mx.eval(array)
        except RuntimeError as error:
            raise BackendError(
                f"MLX could not read the weights of {folder.name}: {error}",
                hint="free some memory, or ask for a smaller quantization",
            ) from error
        done += array.nbytes
        if progress is not None and not progress(done / total):
            raise BackendError("loading was abandoned")
    return int(total)
