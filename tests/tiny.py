"""Writes LFM2 models with seeded random weights as GGUF: the same arguments give the same bytes.

Random weights say nothing sensible, but llama.cpp loads them, tokenizes with them and runs them as it runs the
published models. The default is a network of 550 KiB for tests; `scripts/make_shapes.py` writes the real sizes with it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np

#: The first token ids, in the published order. Ids 1 and 7 are BOS and EOS.
SPECIAL_TOKENS = (
    "<|pad|>", "<|startoftext|>", "<|endoftext|>", "<|fim_pre|>", "<|fim_mid|>", "<|fim_suf|>", "<|im_start|>",
    "<|im_end|>", "<|tool_list_start|>", "<|tool_list_end|>", "<|tool_call_start|>", "<|tool_call_end|>",
    "<|tool_response_start|>", "<|tool_response_end|>",
)  # fmt: skip
#: Name, shape in numpy's order and type of a tensor.
Size = tuple[str, tuple[int, ...], str]
#: The smallest vocabulary: the special tokens, one token a byte and one merge, as llama.cpp refuses a file with none.
BYTES_ONLY = len(SPECIAL_TOKENS) + 256 + 1

CHAT_TEMPLATE = """\
{{- bos_token -}}
{%- set led = messages and messages[0]["role"] == "system" -%}
{%- set system = messages[0]["content"] if led else "" -%}
{%- set turns = messages[1:] if led else messages -%}
{%- if tools -%}
{%- set list = "List of tools: <|tool_list_start|>" ~ (tools | tojson) ~ "<|tool_list_end|>" -%}
{%- set system = system ~ "\\n" ~ list if system else list -%}
{%- endif -%}
{%- if system -%}{{ "<|im_start|>system\\n" ~ system ~ "<|im_end|>\\n" }}{%- endif -%}
{%- for message in turns -%}
{%- set content = message["content"] -%}
{%- if message["role"] == "tool" -%}
{%- set content = "<|tool_response_start|>" ~ content ~ "<|tool_response_end|>" -%}
{%- endif -%}
{{ "<|im_start|>" ~ message["role"] ~ "\\n" ~ content ~ "<|im_end|>\\n" }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ "<|im_start|>assistant\\n" }}{%- endif -%}
"""


def write_tiny_lfm2(
    path: Path,
    *,
    seed: int = 0,
    layers: str = "ccacca",
    hidden: int = 64,
    feed_forward: int = 128,
    heads: int = 2,
    kv_heads: int = 1,
    vocabulary: int = 512,
    context: int = 4096,
    conv_cache: int = 3,
    experts: int = 0,
    experts_used: int = 2,
    expert_feed_forward: int = 96,
    dense_layers: int = 2,
    spread: float = 0.1,
    chat_template: str = CHAT_TEMPLATE,
) -> Path:
    """Write an F16 GGUF at `path` and return it. Norms and convolution kernels are F32, as in the published files.

    `layers` has one letter a layer: `c` convolves, `a` attends. `context` is what the header advertises. `spread` is
    the standard deviation of the weights. With `experts` it is a mixture (lfm2moe) after `dense_layers` layers. Memory
    while writing is that of the largest tensor, not of the model.
    """
    generator = np.random.default_rng(seed)
    tokens, merges = byte_level_vocabulary(vocabulary)
    writer = gguf.GGUFWriter(path, "lfm2moe" if experts else "lfm2")
    writer.add_name("Tiny LFM2")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_block_count(len(layers))
    writer.add_context_length(context)
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(feed_forward)
    writer.add_head_count(heads)
    writer.add_head_count_kv([kv_heads if kind == "a" else 0 for kind in layers])
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(1e6)
    writer.add_shortconv_l_cache(conv_cache)
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(experts_used)
        writer.add_expert_feed_forward_length(expert_feed_forward)
        writer.add_leading_dense_block_count(dense_layers)
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    writer.add_vocab_size(vocabulary)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("lfm2")
    writer.add_token_list(tokens)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_token_types([control if i < len(SPECIAL_TOKENS) else normal for i in range(vocabulary)])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(7)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_chat_template(chat_template)

    head_dim, kv_width = hidden // heads, hidden // heads * kv_heads
    expert_layers = range(dense_layers if experts else len(layers), len(layers))
    sizes = [
        ("token_embd.weight", (vocabulary, hidden), "float16"),
        ("token_embd_norm.weight", (hidden,), "float32"),  # the last norm: the published files call it so
    ]
    for i, kind in enumerate(layers):
        block = f"blk.{i}."
        sizes += _operator(block, kind, hidden, kv_width, head_dim, conv_cache)
        if i in expert_layers:
            sizes += _experts(block, hidden, expert_feed_forward, experts)
        else:
            sizes += _dense(block, hidden, feed_forward)
    for name, size, dtype in sizes:
        writer.add_tensor_info(name, size, np.dtype(dtype), int(np.prod(size)) * np.dtype(dtype).itemsize)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, size, dtype in sizes:
        if name.endswith("norm.weight"):
            values = np.ones(size, dtype)
        else:
            values = generator.standard_normal(size, np.float32)
            values *= spread
        writer.write_tensor_data(values.astype(dtype, copy=False))
    writer.close()
    return path


def byte_level_vocabulary(size: int) -> tuple[list[str], list[str]]:
    """`size` tokens in GPT-2's spelling of bytes, and the merges that make the longer ones out of the shorter.

    Raises `ValueError` below `BYTES_ONLY`. The merges are
    arbitrary pieces of lower-case letters of at most 12 bytes. Every byte is a token, so any UTF-8 text round-trips.
    """
    if size < BYTES_ONLY:
        raise ValueError(f"{size} tokens cannot hold the special tokens and the bytes: {BYTES_ONLY} is the least")
    tokens = [*SPECIAL_TOKENS, *_byte_spelling()]
    pieces = list("Ġetaoinshrdlucmfwypvbgkjqxz")
    known, merges, pick = set(tokens), [], random.Random(0)
    while len(tokens) < size:
        first, second = pick.choice(pieces[:6000]), pick.choice(pieces[:300])
        joined = first + second
        if joined in known or len(joined) > 12 or "Ġ" in joined[1:]:
            continue
        known.add(joined)
        pieces.append(joined)
        tokens.append(joined)
        merges.append(f"{first} {second}")
    return tokens, merges


def _byte_spelling() -> list[str]:
    """One printable character a byte, in byte order: GPT-2 moves the unprintable ones to U+0100 and up."""
    shown = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    moved = iter(range(256, 512))
    return [chr(byte) if byte in shown else chr(next(moved)) for byte in range(256)]


def _operator(block: str, kind: str, hidden: int, kv_width: int, head_dim: int, conv_cache: int) -> Iterator[Size]:
    yield block + "attn_norm.weight", (hidden,), "float32"
    if kind == "a":
        yield block + "attn_q.weight", (hidden, hidden), "float16"
        yield block + "attn_k.weight", (kv_width, hidden), "float16"
        yield block + "attn_v.weight", (kv_width, hidden), "float16"
        yield block + "attn_output.weight", (hidden, hidden), "float16"
        yield block + "attn_q_norm.weight", (head_dim,), "float32"
        yield block + "attn_k_norm.weight", (head_dim,), "float32"
    else:
        yield block + "shortconv.in_proj.weight", (3 * hidden, hidden), "float16"
        yield block + "shortconv.conv.weight", (hidden, conv_cache), "float32"
        yield block + "shortconv.out_proj.weight", (hidden, hidden), "float16"
    yield block + "ffn_norm.weight", (hidden,), "float32"


def _dense(block: str, hidden: int, width: int) -> Iterator[Size]:
    yield block + "ffn_gate.weight", (width, hidden), "float16"
    yield block + "ffn_up.weight", (width, hidden), "float16"
    yield block + "ffn_down.weight", (hidden, width), "float16"


def _experts(block: str, hidden: int, width: int, count: int) -> Iterator[Size]:
    yield block + "ffn_gate_inp.weight", (count, hidden), "float32"
    yield block + "ffn_gate_exps.weight", (count, width, hidden), "float16"
    yield block + "ffn_down_exps.weight", (count, hidden, width), "float16"
    yield block + "ffn_up_exps.weight", (count, width, hidden), "float16"
    yield block + "exp_probs_b.bias", (count,), "float32"
