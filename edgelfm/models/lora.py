"""A LoRA adapter on this disk: in whose form it is, which model it was trained on, how large it is. Reads no weights.

PEFT and mlx-lm save a folder each, with a configuration and safetensors; llama.cpp has a GGUF file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from ..errors import ModelFileError
from .gguf import read_header

Form = Literal["peft", "mlx", "gguf"]

CONFIG = "adapter_config.json"
WEIGHTS = {"peft": "adapter_model.safetensors", "mlx": "adapters.safetensors"}
_LONGEST = 16 * 1024**2  # bytes of a configuration or a header; those of real adapters have some hundred KiB
_GIVE = "give the folder that PEFT or mlx-lm saved after the training, or a .gguf file"


@dataclass(frozen=True, slots=True)
class Lora:
    """What is known of an adapter before it is loaded."""

    path: Path  # the folder, or the GGUF file
    form: Form
    parameters: int
    bytes: int  # of its matrices as they are stored
    base: str = ""  # the model it was trained on, as it says itself: a repository, a folder
    repo: str = ""  # of the Hub that it came from

    @property
    def name(self) -> str:
        """What it is called: as its repository, folder or file."""
        if self.repo:
            return self.repo.rpartition("/")[2]
        return self.path.stem if self.form == "gguf" else self.path.name

    @property
    def where(self) -> str:
        """What to type to have it again: its repository or path."""
        return self.repo or str(self.path)

    @property
    def weights(self) -> Path:
        """The file that holds its matrices."""
        return self.path if self.form == "gguf" else self.path / WEIGHTS[self.form]


def read_lora(path: str | Path) -> Lora:
    """Look at an adapter. Raises `ModelFileError` for what is none, and for one whose weights are pickled."""
    path = Path(path).expanduser().resolve()
    if path.is_file() and path.suffix.lower() == ".gguf":
        return _in_gguf(path)
    if not path.is_dir():
        _refuse(path, "is not there" if not path.exists() else "is neither a folder nor a .gguf file")
    if not (path / CONFIG).is_file():
        _refuse(path, f"holds no {CONFIG}")
    config = lora_config(path)
    of_mlx = "peft_type" not in config and bool({"fine_tune_type", "lora_parameters"} & config.keys())
    form: Form = "mlx" if of_mlx else "peft"
    weights = path / WEIGHTS[form]
    if not weights.is_file():
        if (path / "adapter_model.bin").is_file():
            _refuse(
                path,
                "holds pickled weights (adapter_model.bin), which can run any code when they are opened",
                "save it again with model.save_pretrained(folder)",
            )
        _refuse(path, f"holds no {weights.name}", "save it again, or copy the whole folder")
    base = config.get("base_model_name_or_path" if form == "peft" else "model")
    return Lora(path, form, *_size(weights), base if isinstance(base, str) else "")


def lora_config(folder: Path) -> dict[str, Any]:
    """The configuration of an adapter. Raises `ModelFileError` if it cannot be read."""
    path = folder / CONFIG
    try:
        if path.stat().st_size > _LONGEST:
            _refuse(folder, f"has a {CONFIG} that is far too large")
        values = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        _refuse(folder, f"has a {CONFIG} that cannot be read: {error}")
    if not isinstance(values, dict):
        _refuse(folder, f"has a {CONFIG} that is no JSON object")
    return values


def _size(path: Path) -> tuple[int, int]:
    """Values and bytes of all tensors, by the header."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > min(_LONGEST, path.stat().st_size - 8):
                raise ValueError("its header is longer than the file")
            tensors: Mapping[str, Any] = json.loads(file.read(length))
        stored = [one for name, one in tensors.items() if name != "__metadata__"]
        ends = [one["data_offsets"] for one in stored]
        return sum(math.prod(one["shape"]) for one in stored), sum(end - begin for begin, end in ends)
    except (AttributeError, KeyError, OSError, TypeError, ValueError, RecursionError) as error:
        _refuse(path.parent, f"has weights that cannot be read: {path.name}: {error}", "copy or download it again")


def _in_gguf(path: Path) -> Lora:
    header = read_header(path)
    if header.text("general.type") != "adapter" or header.text("adapter.type") != "lora":
        _refuse(path, "is a model and no adapter")
    parameters = sum(math.prod(tensor.shape) for tensor in header.tensors)
    return Lora(path, "gguf", parameters, header.weight_bytes, header.text("general.base_model.0.repo_url"))


def _refuse(path: Path, reason: str, hint: str = _GIVE) -> NoReturn:
    raise ModelFileError(f"the adapter {path} {reason}", hint=hint)
