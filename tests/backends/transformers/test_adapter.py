"""LoRA adapters as PEFT writes them: the arithmetic, the identity of a state, and what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgelfm.backends.transformers.loading import load
from edgelfm.backends.transformers.session import TransformersSession
from edgelfm.errors import ModelFileError, StateRefused
from edgelfm.models.entry import Sampling

MODULE = "model.layers.2.self_attn.q_proj"


def write_adapter(folder: Path, *, tensors: dict[str, Any] | None = None, **config: Any) -> Path:
    """Rank 4 on one matrix of 64 x 64 unless `tensors` says otherwise."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir()
    generator = torch.Generator().manual_seed(3)
    prefix = f"base_model.model.{MODULE}"
    halves = {f"{prefix}.lora_A.weight": (4, 64), f"{prefix}.lora_B.weight": (64, 4)}
    made = {name: torch.randn(shape, generator=generator) for name, shape in halves.items()}
    save_file(made if tensors is None else tensors, folder / "adapter_model.safetensors")
    values = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "bias": "none"} | config
    (folder / "adapter_config.json").write_text(json.dumps(values))
    return folder


@pytest.mark.parametrize(("given", "scale"), [({}, 8 / 4), ({"use_rslora": True}, 8 / math.sqrt(4))])
def test_it_adds_its_product_to_the_weight_and_leaves_the_files(
    given: dict[str, Any], scale: float, tiny_folder: Path, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file

    adapter = write_adapter(tmp_path / "lora", **given)
    halves = load_file(adapter / "adapter_model.safetensors")
    a, b = (halves[f"base_model.model.{MODULE}.lora_{half}.weight"] for half in "AB")
    base = load(tiny_folder).model.get_submodule(MODULE).weight
    adapted = load(tiny_folder, adapter=adapter).model.get_submodule(MODULE).weight
    assert torch.allclose(adapted, base + scale * b @ a, atol=1e-5)
    assert torch.equal(load(tiny_folder).model.get_submodule(MODULE).weight, base)


def test_states_of_the_adapted_model_are_its_own(
    tiny_folder: Path, tmp_path: Path, open_torch: Callable[..., TransformersSession]
) -> None:
    plain, adapted = open_torch(tiny_folder), open_torch(tiny_folder, adapter=write_adapter(tmp_path / "lora"))
    list(adapted.generate(range(20, 60), Sampling(), max_tokens=2))
    state = adapted.export_state(range(20, 60))
    assert state is not None
    with pytest.raises(StateRefused, match="another adapter"):
        plain.import_state(state)


def tensor(*shape: int) -> Any:
    import torch

    return torch.ones(shape)


REFUSED: list[tuple[str, Callable[[], dict[str, Any]], str]] = [
    ("another method", lambda: {"peft_type": "IA3"}, "IA3"),
    ("magnitudes", lambda: {"use_dora": True}, "use_dora"),
    ("whole layers", lambda: {"modules_to_save": ["lm_head"]}, "modules_to_save"),
    ("biases", lambda: {"bias": "all"}, "biases"),
    ("nothing", lambda: {"tensors": {}}, "is empty"),
    ("half", lambda: {"tensors": {f"base_model.model.{MODULE}.lora_A.weight": tensor(4, 64)}}, "only half"),
    ("something else", lambda: {"tensors": {"x": tensor(4)}}, "'x', which is no part"),
    (
        "of another model",
        lambda: {"tensors": {f"base_model.model.other.lora_{half}.weight": tensor(4, 4) for half in "AB"}},
        "has no other",
    ),
    (
        "of another size",
        lambda: {"tensors": {f"base_model.model.{MODULE}.lora_{half}.weight": tensor(4, 4) for half in "AB"}},
        "has the shape",
    ),
    (
        "the tied output",
        lambda: {
            "tensors": {
                "base_model.model.lm_head.lora_A.weight": tensor(4, 64),
                "base_model.model.lm_head.lora_B.weight": tensor(512, 4),
            }
        },
        "shares its weights",
    ),
]


@pytest.mark.parametrize(("given", "reason"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_would_be_left_out_is_refused(
    given: Callable[[], dict[str, Any]], reason: str, tiny_folder: Path, tmp_path: Path
) -> None:
    adapter = write_adapter(tmp_path / "lora", **given())
    with pytest.raises(ModelFileError, match=reason) as caught:
        load(tiny_folder, adapter=adapter)
    assert str(adapter) in caught.value.message
