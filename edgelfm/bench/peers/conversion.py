"""A GGUF file as a folder that transformers, onnxruntime-genai and mlx-lm read: the same weights, widened to bf16.

    config.json  model.safetensors  tokenizer.json  tokenizer_config.json

bf16 is what models are published in and what all three take. Every quantized value is computed as llama.cpp computes it
and rounded once, to the 8 bits of a bf16; beside the 4 or 8 bits of the quantization that is little. Knows Llama and
LFM2, dense; the names are those of llama.cpp's convert_hf_to_gguf.py read backwards.

One piece of a tensor is in memory at a time, and nothing of the model is run.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import BackendError, BackendMissing
from ...models.architecture import Architecture
from ...models.from_header import architecture_of
from ...models.ggml import Tensor
from ...models.gguf import GgufHeader, read_header
from .tokenizer_json import KEPT, tokenizer_config, tokenizer_json

if TYPE_CHECKING:
    import numpy as np

_PIECE = 4 * 1024**2  # values widened at once: 16 MiB as f32

_LLAMA = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_LFM2 = {
    "token_embd": "model.embed_tokens",
    "token_embd_norm": "model.embedding_norm",  # the last norm, in the published files
    "output_norm": "model.embedding_norm",
    "attn_norm": "operator_norm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.out_proj",
    "attn_q_norm": "self_attn.q_layernorm",
    "attn_k_norm": "self_attn.k_layernorm",
    "shortconv.in_proj": "conv.in_proj",
    "shortconv.conv": "conv.conv",
    "shortconv.out_proj": "conv.out_proj",
    "ffn_norm": "ffn_norm",
    "ffn_gate": "feed_forward.w1",
    "ffn_up": "feed_forward.w3",
    "ffn_down": "feed_forward.w2",
}
_NAMES = {"llama": _LLAMA, "lfm2": _LFM2}


def why_not(header: GgufHeader) -> str:
    """Why this model cannot be converted, empty if it can."""
    names = _NAMES.get(architecture := header.text("general.architecture"))
    if names is None:
        return f"only Llama and LFM2 models are converted for it, not {architecture!r}"
    if header.text("tokenizer.ggml.model") != "gpt2":
        return f"its tokenizer ({header.text('tokenizer.ggml.model')}) cannot be written for it"
    for tensor in header.tensors:
        if _target(tensor, names) is None:
            return f"its tensor {tensor.name} has no name there"
    return ""


def folder_bytes(source: Path) -> int:
    """How large the folder will be. The tokenizer's few megabytes are not counted."""
    return sum(2 * prod(tensor.shape) for tensor in read_header(source).tensors)


def write_folder(source: Path, folder: Path, told: Callable[[float], None] = lambda _: None) -> None:
    """Write the model in `source` into the empty `folder`. `told` hears how far it got, 0 to 1.

    Raises `BackendError` for a model that cannot be converted, `BackendMissing` without the package `gguf`.
    """
    header = read_header(source, keep=KEPT)
    if reason := why_not(header):
        raise BackendError(f"{source.name}: {reason}")
    net = architecture_of(header)
    for name, content in {
        "config.json": _config(header, net),
        "tokenizer.json": tokenizer_json(header),
        "tokenizer_config.json": tokenizer_config(header),
    }.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    _write_weights(source, header, net, folder / "model.safetensors", told)


@dataclass(frozen=True, slots=True)
class _Target:
    """What a tensor becomes."""

    name: str
    shape: tuple[int, ...]  # outermost first
    heads: int = 0  # of queries or keys, whose rows llama.cpp keeps in another order


def _write_weights(
    source: Path, header: GgufHeader, net: Architecture, path: Path, told: Callable[[float], None]
) -> None:
    targets = {tensor: _require_target(tensor, header, net) for tensor in header.tensors}
    layout: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    total = 0
    for target in targets.values():
        size = 2 * prod(target.shape)
        layout[target.name] = {"dtype": "BF16", "shape": target.shape, "data_offsets": (total, total + size)}
        total += size
    text = json.dumps(layout).encode()
    text += b" " * (-len(text) % 8)
    done = 0
    with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data, path.open("wb") as to:
        to.write(len(text).to_bytes(8, "little") + text)
        for tensor, target in targets.items():
            for rows in _rows(data, header.data_offset, tensor, whole=target.heads > 0):
                if target.heads:
                    rows = _halves_apart(rows, target.heads)
                to.write(_bf16(rows))
                done += 2 * rows.size
                told(done / total)


def _rows(data: mmap.mmap, begin: int, tensor: Tensor, *, whole: bool) -> Iterator[np.ndarray[Any, Any]]:
    """The tensor as f32, some rows at a time or all at once."""
    import numpy as np

    try:
        import gguf
    except ModuleNotFoundError as error:
        raise BackendMissing("the package gguf, which unpacks weights, is missing", hint="pip install gguf") from error
    width, count = tensor.shape[0], prod(tensor.shape[1:])
    row_bytes = tensor.bytes // count
    step = count if whole else max(1, _PIECE // width)
    kind = gguf.GGMLQuantizationType[tensor.type]
    for first in range(0, count, step):
        rows = min(step, count - first)
        start = begin + tensor.offset + first * row_bytes
        # A copy: a view of the mapping would keep it from being closed.
        packed = np.frombuffer(data[start : start + rows * row_bytes], np.uint8).reshape(rows, row_bytes)
        yield gguf.quants.dequantize(packed, kind).reshape(rows, width).astype(np.float32, copy=False)


def _halves_apart(rows: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """llama.cpp rotates neighbouring rows of a head, Hugging Face a row and the one half a head further."""
    apart: np.ndarray[Any, Any] = rows.reshape(heads, -1, 2, rows.shape[-1]).swapaxes(1, 2).reshape(rows.shape)
    return apart


def _bf16(values: np.ndarray[Any, Any]) -> bytes:
    """The upper halves of f32, rounded to even."""
    import numpy as np

    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded = (bits + ((bits >> np.uint32(16)) & np.uint32(1)) + np.uint32(0x7FFF)) >> np.uint32(16)
    return bytes(rounded.astype(np.uint16))


def _target(tensor: Tensor, names: Mapping[str, str]) -> str | None:
    """The name of a tensor over there, None if it has none."""
    stem, dot, kind = tensor.name.rpartition(".")
    prefix = ""
    if stem.startswith("blk."):
        _, layer, stem = stem.split(".", 2)
        prefix = f"model.layers.{layer}."
    known = names.get(stem)
    return f"{prefix}{known}.{kind}" if dot and known and kind in ("weight", "bias") else None


def _require_target(tensor: Tensor, header: GgufHeader, net: Architecture) -> _Target:
    name = _target(tensor, _NAMES[net.name])
    assert name is not None, "why_not() has looked"
    shape = tensor.shape[::-1]
    if name.endswith(".conv.conv.weight"):
        shape = (shape[0], 1, shape[1])  # one input channel a group
    heads = 0
    if net.name == "llama" and name.endswith("q_proj.weight"):
        heads = net.heads
    elif net.name == "llama" and name.endswith("k_proj.weight"):
        heads = max(net.kv_heads)
    return _Target(name, shape, heads)


def _config(header: GgufHeader, net: Architecture) -> dict[str, Any]:
    """config.json, with the keys that at least one of the three readers asks for."""

    def value(key: str, default: Any = None) -> Any:
        return header.metadata.get(f"{net.name}.{key}", default)

    theta, epsilon = value("rope.freq_base", 10000.0), value("attention.layer_norm_rms_epsilon", 1e-5)
    common = {
        "vocab_size": net.vocabulary,
        "hidden_size": net.hidden,
        "intermediate_size": net.feed_forward,
        "num_hidden_layers": net.layers,
        "num_attention_heads": net.heads,
        "num_key_value_heads": max(net.kv_heads),
        "head_dim": net.head_dim,
        "max_position_embeddings": net.context_advertised,
        "rope_theta": theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        "tie_word_embeddings": net.tied_embeddings,
        "dtype": "bfloat16",
        "torch_dtype": "bfloat16",
        **{f"{name}_token_id": header.metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos")},
    }
    if net.name == "llama":
        own: dict[str, Any] = {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "rms_norm_eps": epsilon,
            "hidden_act": "silu",
            "attention_bias": any(tensor.name.endswith("attn_q.bias") for tensor in header.tensors),
            "mlp_bias": any(tensor.name.endswith("ffn_up.bias") for tensor in header.tensors),
        }
    else:
        own = {
            "architectures": ["Lfm2ForCausalLM"],
            "model_type": "lfm2",
            "norm_eps": epsilon,
            "conv_bias": any(tensor.name.endswith("shortconv.conv.bias") for tensor in header.tensors),
            "conv_L_cache": net.conv_cache,
            "conv_dim": net.hidden,
            "block_dim": net.hidden,
            "block_ff_dim": net.feed_forward,
            "block_auto_adjust_ff_dim": False,  # the width is the one after rounding
            "block_multiple_of": 1,
            "block_ffn_dim_multiplier": 1.0,
            "layer_types": ["full_attention" if heads else "conv" for heads in net.kv_heads],
            "full_attn_idxs": list(net.attention_layers),
            "tie_embedding": net.tied_embeddings,
        }
    return own | common
