"""A LoRA adapter as PEFT writes it, added to the weights of a loaded network. PEFT itself is not needed.

Each pair of matrices A (rank x in) and B (out x rank) adds `scale * B A` to one weight. What an adapter may hold
besides, whole layers or magnitudes, is refused rather than left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from ...errors import ModelFileError
from ..safetensors import read_json
from .library import Library

_NAME = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<half>[AB])(?:\.default)?\.weight")
_BEYOND = ("use_dora", "modules_to_save", "layer_replication", "trainable_token_indices", "lora_bias", "fan_in_fan_out")


def merge(lib: Library, model: Any, folder: Path) -> None:
    """Add the adapter in `folder` to `model`. Raises `ModelFileError` if it cannot be read or does not fit."""
    import safetensors.torch

    config = read_json(folder / "adapter_config.json")
    if config.get("peft_type") != "LORA":
        _refuse(folder, f"is of the type {config.get('peft_type')!r}, not LORA")
    if (bias := config.get("bias", "none")) != "none":
        _refuse(folder, f"trains biases ({bias!r})")
    if beyond := [name for name in _BEYOND if config.get(name)]:
        _refuse(folder, f"uses {beyond[0]}, which edgelfm does not know")
    path = folder / "adapter_model.safetensors"
    if not path.is_file():
        _refuse(folder, "holds no adapter_model.safetensors")
    try:
        halves = _halves(folder, safetensors.torch.load_file(path))
    except (safetensors.SafetensorError, OSError) as error:
        _refuse(folder, f"cannot be read: {error}")
    with lib.torch.inference_mode():
        for module, pair in halves.items():
            try:
                weight = model.get_submodule(module).weight
            except AttributeError:
                _refuse(folder, f"is for another model: this one has no {module}")
            if weight is model.get_input_embeddings().weight:
                _refuse(folder, f"changes {module}, which shares its weights with the embedding")
            a, b = pair["A"].to(weight.device).float(), pair["B"].to(weight.device).float()
            if (b.shape[0], a.shape[1]) != tuple(weight.shape) or a.shape[0] != b.shape[1]:
                _refuse(folder, f"is for another model: {module} has the shape {[*weight.shape]}")
            weight.data.copy_(weight.float() + _scale(config, module, a.shape[0]) * (b @ a))


def _halves(folder: Path, tensors: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        match = _NAME.fullmatch(name)
        if match is None:
            _refuse(folder, f"holds {name!r}, which is no part of a LoRA")
        found.setdefault(match["module"], {})[match["half"]] = tensor
    if lone := [module for module, pair in found.items() if len(pair) != 2]:
        _refuse(folder, f"has only half of what belongs to {lone[0]}")
    if not found:
        _refuse(folder, "is empty")
    return found


def _scale(config: Mapping[str, Any], module: str, rank: int) -> float:
    """alpha / rank, or alpha / sqrt(rank) for rank-stabilised LoRA (Kalajdzievski 2023)."""
    patterns = config.get("alpha_pattern") or {}
    named = [alpha for pattern, alpha in patterns.items() if re.fullmatch(rf"(.*\.)?({pattern})", module)]
    alpha = float(named[0] if named else config.get("lora_alpha", rank))
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank


def _refuse(folder: Path, reason: str) -> NoReturn:
    raise ModelFileError(f"the adapter {folder} {reason}", hint="merge it with PEFT, and load what comes of it")
