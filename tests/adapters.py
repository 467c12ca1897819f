"""LoRA adapters of random values, as PEFT and as mlx-lm save them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.tiny_folder import _write_safetensors

#: Inputs and outputs of a layer, by its name.
Layers = Mapping[str, tuple[int, int]]


def linear_layers(folder: Path) -> dict[str, tuple[int, int]]:
    """All that a training with `target_modules="all-linear"` would change in the model of a folder."""
    raw = (folder / "model.safetensors").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    return {
        name.removesuffix(".weight"): (one["shape"][1], one["shape"][0])
        for name, one in header.items()
        if name != "__metadata__" and len(one["shape"]) == 2 and "embed" not in name and "lm_head" not in name
    }


def write_peft(
    folder: Path, layers: Layers, *, seed: int = 1, dora: bool = False, factor: float = 0.1, **config: Any
) -> Path:
    """`config` goes into adapter_config.json; a rank of 4 and an alpha of 8 unless it says otherwise.

    `factor` is how large the values of B are.
    """
    folder.mkdir()
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "use_dora": dora, **config}
    values, weights = np.random.default_rng(seed), {}
    for layer, (inputs, outputs) in layers.items():
        stem = f"base_model.model.{layer}"
        weights[f"{stem}.lora_A.weight"] = values.standard_normal((config["r"], inputs), np.float32)
        weights[f"{stem}.lora_B.weight"] = values.standard_normal((outputs, config["r"]), np.float32) * np.float32(
            factor
        )
        if dora:
            weights[f"{stem}.lora_magnitude_vector"] = values.random(outputs, np.float32) + 1
    _write_safetensors(folder / "adapter_model.safetensors", weights)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def write_mlx(folder: Path, layers: Layers, *, seed: int = 1, rank: int = 4, scale: float = 2.0, **config: Any) -> Path:
    """The same changes as `write_peft` with the same seed: there, 8 / 4 is a scale of 2."""
    folder.mkdir()
    values, weights = np.random.default_rng(seed), {}
    for layer, (inputs, outputs) in layers.items():
        a = values.standard_normal((rank, inputs), np.float32)
        b = values.standard_normal((outputs, rank), np.float32) * np.float32(0.1)
        weights[f"{layer}.lora_a"], weights[f"{layer}.lora_b"] = np.ascontiguousarray(a.T), np.ascontiguousarray(b.T)
    _write_safetensors(folder / "adapters.safetensors", weights)
    parameters = {"rank": rank, "scale": scale, "dropout": 0.0}
    config = {"fine_tune_type": "lora", "num_layers": 16, "lora_parameters": parameters, **config}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder
