"""The folder that is to be converted: what it holds, and whether it can be converted at all, told before any work.

Reads config.json, names of files and headers. Reads no weights.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ..backends.safetensors import read_json, require_whole
from ..backends.weights import Weights
from ..errors import ModelFileError
from ..models.architecture import Architecture
from ..models.from_config import Config
from ..models.hub_cache import repo_of

#: Classes of transformers whose weights can be written as GGUF, and llama.cpp's name for their network.
ARCHITECTURES = {
    "Lfm2ForCausalLM": "lfm2",
    "Lfm2MoeForCausalLM": "lfm2moe",
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "llama",  # the same network as long as no window slides
}
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


@dataclass(frozen=True, slots=True)
class Source:
    """A Hugging Face folder of a model that can be converted."""

    folder: Path
    config: Mapping[str, Any]
    class_name: str  # in transformers: "Lfm2ForCausalLM"
    net: Architecture
    dtype: str  # that most weights are stored in: F32, F16, BF16

    @property
    def name(self) -> str:
        """What the model is called: as its folder, which in the Hub's cache has the name of a commit."""
        return (repo_of(self.folder) or self.folder.name).rpartition("/")[2]


def read_source(folder: Path) -> Source:
    """Raises `ModelFileError` for a folder that holds no whole model, or one that cannot be converted."""
    folder = folder.expanduser().resolve()
    if not folder.is_dir():
        _refuse(
            folder,
            "is not a folder",
            "give the folder that holds config.json and model.safetensors; of a published model, the one that "
            "`edgelfm pull <model> --backend transformers` names",
        )
    config = read_json(folder / "config.json")
    if not any(folder.glob("model*.safetensors")):
        _refuse_weights(folder)
    if config.get("quantization") or config.get("quantization_config"):
        _refuse(folder, "holds weights that are quantized already", "convert the folder it was quantized from")
    class_name = _class_name(config)
    if class_name not in ARCHITECTURES:
        _refuse(folder, f"holds a {class_name or 'nameless model'}", f"these are converted: {', '.join(ARCHITECTURES)}")
    require_whole(folder)
    net = _net(config, ARCHITECTURES[class_name], str(folder / "config.json"))
    return Source(folder, config, class_name, net, _dtype(folder))


def _class_name(config: Mapping[str, Any]) -> str:
    names = config.get("architectures")
    if isinstance(names, list) and names and isinstance(names[0], str):
        return names[0]
    by_type = {"lfm2": "Lfm2ForCausalLM", "lfm2_moe": "Lfm2MoeForCausalLM", "llama": "LlamaForCausalLM"}
    return by_type.get(str(config.get("model_type")), "")


def _dtype(folder: Path) -> str:
    """What most values are stored in. config.json may speak of what they are computed in."""
    counts: dict[str, int] = {}
    with Weights(folder) as weights:
        for one in weights.stored.values():
            counts[one.dtype] = counts.get(one.dtype, 0) + math.prod(one.shape)
    most = max(counts, key=counts.__getitem__, default="F32")
    return most if most in ("F16", "BF16") else "F32"


def _net(config: Mapping[str, Any], family: str, where: str) -> Architecture:
    of_type = {"lfm2": "lfm2", "lfm2moe": "lfm2_moe", "llama": "llama"}[family]
    net = Config(json.dumps({**config, "model_type": of_type}).encode(), where).architecture()
    assert net is not None, "the families are known"
    needed: dict[str, dict[str, Any]] = {
        "lfm2": {"conv_bias": False},
        "lfm2moe": {
            "conv_bias": False, "use_expert_bias": True, "norm_topk_prob": True, "routed_scaling_factor": 1.0,
        },
        "llama": {"hidden_act": "silu"},
    }  # fmt: skip
    for key, only in needed[family].items():
        if config.get(key, only) != only:
            _refuse(where, f"has {key} = {config[key]!r}", f"llama.cpp computes this family with {only!r} only")
    window = config.get("sliding_window")
    if family == "llama" and isinstance(window, int) and window < net.context_advertised:
        _refuse(where, f"slides a window of {window} tokens", "llama.cpp computes this family without one")
    return net


def _refuse_weights(folder: Path) -> NoReturn:
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        _refuse(
            folder,
            f"holds pickled weights ({pickles[0]}), which can run any code when they are opened",
            "save it again with model.save_pretrained(folder, safe_serialization=True), where you trust it",
        )
    if (folder / "adapter_config.json").is_file():
        _refuse(folder, "is an adapter and no model", f"edgelfm convert <folder of its base model> --adapter {folder}")
    _refuse(folder, "holds no model*.safetensors", "give the folder that the fine-tune was saved to")


def _refuse(what: Path | str, reason: str, hint: str) -> NoReturn:
    raise ModelFileError(f"{what} {reason}", hint=hint)
