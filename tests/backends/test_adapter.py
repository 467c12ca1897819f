"""LoRA adapters are merged by PEFT's rules, and what cannot be merged is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgelfm.backends.adapter import Adapter
from edgelfm.backends.weights import Weights
from edgelfm.errors import ModelFileError
from tests.adapters import write_mlx, write_peft

IN_PROJ, QUERY = "model.layers.0.conv.in_proj", "model.layers.2.self_attn.q_proj"
MODULES = {IN_PROJ: (64, 192), QUERY: (64, 64)}


def _parts(folder: Path, module: str) -> tuple[np.ndarray, np.ndarray]:
    with Weights(folder / "adapter_model.safetensors") as stored:
        stem = f"base_model.model.{module}"
        return stored.rows(f"{stem}.lora_A.weight"), stored.rows(f"{stem}.lora_B.weight")


def _change(base: Path, adapter: Path, module: str) -> np.ndarray:
    """What merging adds to a weight."""
    with Weights(base) as plain, Weights(base, Adapter(adapter)) as merged:
        return merged.rows(f"{module}.weight") - plain.rows(f"{module}.weight")


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        ({}, 8 / 4),
        ({"r": 16, "lora_alpha": 4}, 4 / 16),
        ({"use_rslora": True}, 8 / math.sqrt(4)),
        ({"alpha_pattern": {"q_proj": 2}}, 8 / 4),
        ({"alpha_pattern": {"layers.0.conv.in_proj": 2}}, 2 / 4),
        ({"alpha_pattern": {"in_pro.": 2}}, 2 / 4),
    ],
)
def test_the_scale_follows_the_configuration(
    tiny_folder: Path, write_adapter: Callable, config: dict[str, Any], scale: float
) -> None:
    adapter = write_adapter(MODULES, **config)
    a, b = _parts(adapter, IN_PROJ)
    np.testing.assert_allclose(_change(tiny_folder, adapter, IN_PROJ), scale * (b @ a), atol=1e-6)


def test_pieces_of_a_tensor_are_merged_as_the_whole(tiny_folder: Path, write_adapter: Callable) -> None:
    with Weights(tiny_folder, Adapter(write_adapter(MODULES))) as merged:
        whole = merged.rows(f"{IN_PROJ}.weight")
        np.testing.assert_allclose(merged.rows(f"{IN_PROJ}.weight", 50, 120), whole[50:120], atol=1e-6)


def test_other_tensors_stay_as_they_are(tiny_folder: Path, write_adapter: Callable) -> None:
    assert not _change(tiny_folder, write_adapter(MODULES), "model.layers.1.conv.in_proj").any()


def test_dora_gives_every_row_its_length(tiny_folder: Path, write_adapter: Callable) -> None:
    folder = write_adapter({IN_PROJ: (64, 192)}, dora=True)
    with Weights(tiny_folder, Adapter(folder)) as merged, Weights(folder / "adapter_model.safetensors") as stored:
        lengths = np.linalg.norm(merged.rows(f"{IN_PROJ}.weight"), axis=1)
        wanted = stored.rows(f"base_model.model.{IN_PROJ}.lora_magnitude_vector")[:, 0]
    np.testing.assert_allclose(lengths, wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"peft_type": "IA3"}, "IA3"),
        ({"modules_to_save": ["lm_head"]}, "lm_head"),
        ({"bias": "all"}, "biases"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"init_lora_weights": "pissa_niter_16"}, "changed the weights of its base"),
        ({"lora_alpha": None}, "lora_alpha"),
        ({"r": 0}, "rank 0"),
        ({"alpha_pattern": {"(": 2}}, "alpha_pattern"),
        ({"alpha_pattern": ["q_proj"]}, "alpha_pattern"),
        ({"use_dora": True}, "DoRA"),
    ],
)
def test_what_is_more_than_a_lora_is_refused(write_adapter: Callable, config: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelFileError, match=said) as caught:
        Adapter(write_adapter(MODULES, **config))
    assert caught.value.hint


def test_one_that_is_not_all_numbers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="NaN"):
        Adapter(write_peft(tmp_path / "astray", {IN_PROJ: (64, 192)}, factor=math.nan))


def test_experts_of_a_mixture_are_to_be_merged(write_adapter: Callable) -> None:
    adapter = Adapter(write_adapter({"model.layers.2.feed_forward.experts.0.w1": (64, 32)}))
    with pytest.raises(ModelFileError, match=r"experts\.0\.w1") as caught:
        list(adapter.beside())
    assert f"--adapter {adapter.folder}" in caught.value.hint


def test_what_mlx_names_in_its_own_way_has_the_published_name(tmp_path: Path) -> None:
    """As mlx-lm calls the layers of LFM2-MoE, and those of Llama."""
    layers = {"model.layers.0.feed_forward.up_proj": (64, 128), "model.layers.0.mlp.up_proj": (64, 128)}
    assert set(Adapter(write_mlx(tmp_path / "mlx", layers)).deltas) == {
        "model.layers.0.feed_forward.w3.weight", "model.layers.0.mlp.up_proj.weight",
    }  # fmt: skip
    with pytest.raises(ModelFileError, match="full") as caught:
        Adapter(write_mlx(tmp_path / "whole", layers, fine_tune_type="full"))
    assert "mlx_lm.fuse" in caught.value.hint


def test_an_adapter_of_another_model_is_refused(tiny_folder: Path, write_adapter: Callable) -> None:
    with pytest.raises(ModelFileError, match="does not have"):
        Weights(tiny_folder, Adapter(write_adapter({"model.layers.9.conv.in_proj": (64, 192)})))
    with pytest.raises(ModelFileError, match=r"\(192, 64\)"):
        Weights(tiny_folder, Adapter(write_adapter({IN_PROJ: (32, 192)}, seed=2)))


def test_a_change_to_half_of_a_tied_embedding_is_refused(write_adapter: Callable) -> None:
    with pytest.raises(ModelFileError, match="output head"):
        Adapter(write_adapter({"model.embed_tokens": (64, 512)})).require_untied()


def test_another_folder_is_no_adapter(tiny_folder: Path) -> None:
    with pytest.raises(ModelFileError, match="no adapter_config") as caught:
        Adapter(tiny_folder)
    assert "PEFT" in caught.value.hint


def test_a_pickled_adapter_is_refused(write_adapter: Callable) -> None:
    folder = write_adapter(MODULES)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(ModelFileError, match="pickled"):
        Adapter(folder)


def test_an_adapter_that_lost_a_half_is_refused(write_adapter: Callable) -> None:
    folder = write_adapter(MODULES)
    path = folder / "adapter_model.safetensors"
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    del header[f"base_model.model.{QUERY}.lora_B.weight"]
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])
    with pytest.raises(ModelFileError, match="half"):
        Adapter(folder)
