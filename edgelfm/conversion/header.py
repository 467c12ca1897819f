"""What a GGUF file says about its network beside the weights: sizes, rotations, name and licence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import ModelFileError
from ..models.tensors import active_parameters, parameters
from .source import Source

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_MOST_CARD = 2 * 1024**2  # bytes of a README
_LLAMA3 = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")


def write_network(writer: Any, source: Source, gguf: Any) -> None:
    """Put sizes and rotations into a `gguf.GGUFWriter`."""
    net, config = source.net, source.config
    writer.add_block_count(net.layers)
    writer.add_context_length(net.context_advertised or 4096)
    writer.add_embedding_length(net.hidden)
    writer.add_feed_forward_length(net.feed_forward)
    writer.add_head_count(net.heads)
    writer.add_head_count_kv(list(net.kv_heads) if net.conv_layers else max(net.kv_heads))
    if net.head_dim * net.heads != net.hidden:
        writer.add_key_length(net.head_dim)
        writer.add_value_length(net.head_dim)
    epsilon, unsaid = ("rms_norm_eps", 1e-6) if net.name == "llama" else ("norm_eps", 1e-5)
    writer.add_layer_norm_rms_eps(_number(source, config, epsilon, unsaid))
    writer.add_vocab_size(net.vocabulary)
    rotation = _rotation(source)
    usual = 10000.0 if net.name == "llama" else 1e6
    writer.add_rope_freq_base(_number(source, {**config, **rotation}, "rope_theta", usual))
    if net.name == "llama":
        writer.add_rope_dimension_count(net.head_dim)
    if _kind(rotation) == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(_number(source, rotation, "factor"))
    if net.conv_cache:
        writer.add_shortconv_l_cache(net.conv_cache)
    if net.experts:
        writer.add_expert_count(net.experts)
        writer.add_expert_used_count(net.experts_used)
        writer.add_expert_feed_forward_length(net.expert_feed_forward)
        writer.add_leading_dense_block_count(net.dense_layers)
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)


def write_card(writer: Any, source: Source, adapter: str, gguf: Any) -> None:
    """Put the name, the size, and the licence of the model card in the folder, into a `gguf.GGUFWriter`."""
    writer.add_name(f"{source.name} + {adapter}" if adapter else source.name)
    net, total = source.net, parameters(source.net)
    shared = active_parameters(replace(net, experts_used=0))
    writer.add_size_label(gguf.size_label(total, shared, (total - shared) // max(1, net.experts), net.experts))
    card = _card(source)
    for key in ("license", "license_name", "license_link"):
        if isinstance(value := card.get(key), str):
            getattr(writer, f"add_{key}")(value)


def frequencies(source: Source) -> Array | None:
    """What Llama 3 divides the frequencies of its rotation by, one factor a pair of values; None for others.

    The rule is `_compute_llama3_parameters` of transformers' modeling_rope_utils.py.
    """
    import numpy as np

    rotation, dim = _rotation(source), source.net.head_dim
    if _kind(rotation) != "llama3":
        return None
    factor, low, high, old = (_number(source, rotation, key) for key in _LLAMA3)
    theta = _number(source, {**source.config, **rotation}, "rope_theta", 10000.0)
    lengths = 2 * math.pi * theta ** (np.arange(0, dim, 2, dtype=np.float64) / dim)
    smooth = (old / lengths - low) / (high - low)
    between = 1 / ((1 - smooth) / factor + smooth)
    divisors: Array = np.where(lengths < old / high, 1.0, np.where(lengths > old / low, factor, between))
    return divisors.astype(np.float32)


def _rotation(source: Source) -> Mapping[str, Any]:
    """`rope_parameters`, which older files call `rope_scaling`."""
    found = source.config.get("rope_parameters") or source.config.get("rope_scaling") or {}
    if not isinstance(found, dict) or _kind(found) not in ("default", "linear", "llama3"):
        _refuse(source, f"scales rotations in a way that is not converted: {found}")
    return found


def _number(source: Source, values: Mapping[str, Any], key: str, usual: float | None = None) -> float:
    """The positive number that `key` is. Raises `ModelFileError` if it is none, or not there and nothing is usual."""
    found = values.get(key)
    found = usual if found is None else found
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not 0 < found < math.inf:
        raise ModelFileError(
            f"{source.folder / 'config.json'} has {key} = {found!r}",
            hint="use the config.json that came with the weights",
        )
    return float(found)


def _kind(rotation: Mapping[str, Any]) -> str:
    return str(rotation.get("rope_type") or rotation.get("type") or "default")


def _card(source: Source) -> Mapping[str, Any]:
    """What stands between the dashes at the top of README.md."""
    path = source.folder / "README.md"
    if not path.is_file() or path.stat().st_size > _MOST_CARD:
        return {}
    text = path.read_text(encoding="utf-8", errors="replace")
    if not text.startswith("---\n") or "\n---" not in text[4:]:
        return {}
    import yaml

    try:
        values = yaml.safe_load(text[4:].partition("\n---")[0])
    except yaml.YAMLError:
        return {}
    return values if isinstance(values, dict) else {}


def _refuse(source: Source, reason: str) -> NoReturn:
    raise ModelFileError(
        f"{source.folder / 'config.json'} {reason}",
        hint="rotations are converted plain, scaled linearly, or as Llama 3",
    )
