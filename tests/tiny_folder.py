"""The tiny LFM2 of `tiny.py` as a folder of safetensors, as mlx-lm and transformers read it: the same weights, ids and
template as in the GGUF."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from tests.tiny import CHAT_TEMPLATE, SPECIAL_TOKENS, byte_level_vocabulary, write_tiny_lfm2

#: How llama.cpp splits text for `tokenizer.ggml.pre = lfm2`.
_SPLIT = (
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_OUTSIDE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "token_embd_norm.weight": "model.embedding_norm.weight",
}
_INSIDE = {
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
    "ffn_gate_inp": "feed_forward.gate",
}
_EXPERT = re.compile(r"blk\.(\d+)\.ffn_(gate|up|down)_exps\.weight")


def write_tiny_lfm2_folder(folder: Path, *, dtype: str = "float32", **network: Any) -> Path:
    """Write config.json, safetensors and tokenizer to `folder` and return it.

    `network` is what `write_tiny_lfm2` takes. Every weight is the GGUF's, widened to `dtype`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = write_tiny_lfm2(folder / "source.gguf", **network)
    reader = gguf.GGUFReader(source)
    weights: dict[str, np.ndarray] = {}
    for tensor in reader.tensors:
        if expert := _EXPERT.fullmatch(tensor.name):  # one tensor an expert, as they are published
            layer, part = expert[1], _INSIDE[f"ffn_{expert[2]}"]
            for number, values in enumerate(tensor.data):
                name = part.replace("feed_forward", f"feed_forward.experts.{number}")
                weights[f"model.layers.{layer}.{name}.weight"] = np.array(values, dtype)
        else:
            weights[_name(tensor.name)] = np.array(tensor.data, dtype)
    for name, values in weights.items():
        if name.endswith("conv.conv.weight"):
            weights[name] = values[:, None, :]  # one input channel a group, as PyTorch has it
    config = _config(reader)
    del reader
    source.unlink()
    _write_safetensors(folder / "model.safetensors", weights)
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    _write_tokenizer(folder, config["vocab_size"], network.get("chat_template", CHAT_TEMPLATE))
    return folder


def _name(gguf_name: str) -> str:
    if gguf_name in _OUTSIDE:
        return _OUTSIDE[gguf_name]
    _, layer, rest = gguf_name.split(".", 2)
    if rest == "exp_probs_b.bias":
        return f"model.layers.{layer}.feed_forward.expert_bias"
    return f"model.layers.{layer}.{_INSIDE[rest.removesuffix('.weight')]}.weight"


def _config(reader: gguf.GGUFReader) -> dict[str, Any]:
    family = reader.fields["general.architecture"].contents()

    def value(key: str) -> Any:
        return reader.fields[f"{family}.{key}"].contents()

    hidden, kv_heads = value("embedding_length"), value("attention.head_count_kv")
    mixture = {}
    if family == "lfm2moe":
        mixture = {
            "architectures": ["Lfm2MoeForCausalLM"],
            "model_type": "lfm2_moe",
            "intermediate_size": value("feed_forward_length"),
            "moe_intermediate_size": value("expert_feed_forward_length"),
            "num_experts": value("expert_count"),
            "num_experts_per_tok": value("expert_used_count"),
            "num_dense_layers": value("leading_dense_block_count"),
            "use_expert_bias": True,
            "norm_topk_prob": True,
            "layer_types": ["full_attention" if heads else "conv" for heads in kv_heads],
        }
    return {
        "architectures": ["Lfm2ForCausalLM"],
        "model_type": "lfm2",
        "vocab_size": value("vocab_size"),
        "hidden_size": hidden,
        "num_hidden_layers": value("block_count"),
        "num_attention_heads": value("attention.head_count"),
        "num_key_value_heads": max(kv_heads),
        "max_position_embeddings": value("context_length"),
        "norm_eps": 1e-5,
        "rope_theta": 1e6,
        "conv_bias": False,
        "conv_L_cache": value("shortconv.l_cache"),
        "conv_dim": hidden,
        "block_dim": hidden,
        "block_ff_dim": value("feed_forward_length"),
        "block_auto_adjust_ff_dim": False,
        "block_multiple_of": 1,
        "block_ffn_dim_multiplier": 1.0,
        "full_attn_idxs": [layer for layer, heads in enumerate(kv_heads) if heads],
        "bos_token_id": 1,
        "eos_token_id": 7,
        "pad_token_id": 0,
        "tie_embedding": True,
        "dtype": "float32",
        **mixture,
    }


def _write_safetensors(path: Path, weights: dict[str, np.ndarray]) -> None:
    names = {"float32": "F32", "float16": "F16"}
    header: dict[str, Any] = {"__metadata__": {"format": "mlx"}}
    end = 0
    for name, values in weights.items():
        begin, end = end, end + values.nbytes
        header[name] = {
            "dtype": names[str(values.dtype)],
            "shape": list(values.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for values in weights.values():
            file.write(np.ascontiguousarray(values).tobytes())


def _write_tokenizer(folder: Path, size: int, chat_template: str) -> None:
    tokens, merges = byte_level_vocabulary(size)
    added = [
        {"id": i, "content": text, "special": True, "normalized": False}
        | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
        for i, text in enumerate(SPECIAL_TOKENS)
    ]
    split = {"type": "Split", "pattern": {"Regex": _SPLIT}, "behavior": "Isolated", "invert": False}
    bytes_ = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    tokenizer = {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, bytes_]},
        "post_processor": None,
        "decoder": {**bytes_, "use_regex": True},
        "model": {
            "type": "BPE",
            "ignore_merges": True,
            "vocab": {text: i for i, text in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in merges],
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"bos_token": "<|startoftext|>", "eos_token": "<|im_end|>", "pad_token": "<|pad|>"})
    )
    (folder / "chat_template.jinja").write_text(chat_template, encoding="utf-8")


def write_tiny_llama_folder(
    folder: Path, *, hidden: int = 64, width: int = 96, heads: int = 2, layers: int = 3
) -> Path:
    """A llama with the same tokenizer and random weights in 32 bits: every layer attends."""
    generator = np.random.default_rng(7)
    kv_width = hidden // heads  # one head of keys

    def random(*shape: int) -> np.ndarray:
        return generator.normal(0, 0.1, shape).astype(np.float32)

    weights = {"model.embed_tokens.weight": random(512, hidden), "model.norm.weight": 1 + random(hidden)}
    for layer in range(layers):
        sizes = {
            "self_attn.q_proj": (hidden, hidden), "self_attn.k_proj": (kv_width, hidden),
            "self_attn.v_proj": (kv_width, hidden), "self_attn.o_proj": (hidden, hidden),
            "mlp.gate_proj": (width, hidden), "mlp.up_proj": (width, hidden), "mlp.down_proj": (hidden, width),
        }  # fmt: skip
        block = f"model.layers.{layer}"
        weights |= {f"{block}.{name}.weight": random(*shape) for name, shape in sizes.items()}
        for name in ("input_layernorm", "post_attention_layernorm"):
            weights[f"{block}.{name}.weight"] = 1 + random(hidden)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden, "hidden_act": "silu",
        "num_hidden_layers": layers, "intermediate_size": width, "num_attention_heads": heads,
        "num_key_value_heads": 1, "head_dim": hidden // heads, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "vocab_size": 512, "max_position_embeddings": 4096, "bos_token_id": 1, "eos_token_id": 7, "pad_token_id": 0,
        "tie_word_embeddings": True, "dtype": "float32",
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    _write_safetensors(folder / "model.safetensors", weights)
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    _write_tokenizer(folder, 512, CHAT_TEMPLATE)
    return folder
