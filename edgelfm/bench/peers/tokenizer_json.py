"""The vocabulary of a GGUF as a tokenizer.json, for runtimes that know no other: the same text gives the same ids.

Only byte-level BPE ("gpt2" in the header), which is what LFM2 and SmolLM2 have. How text is cut before merging is named
in the header and written out here as llama.cpp has it (llama_vocab::impl::load, src/llama-vocab.cpp); a name that is
not in the table is cut as GPT-2 does, which gives other ids of the same text now and then, and never a wrong count.
"""

from __future__ import annotations

from typing import Any

from ...models.gguf import GgufHeader

#: Long arrays to keep when the header is read.
KEPT = ("tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.ggml.merges")

_SPECIAL, _ADDED = (2, 3), (2, 3, 4)  # llama_token_type: unknown, control, user-defined
_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
_LLAMA3 = (
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CUTS: dict[str, list[dict[str, Any]]] = {
    "llama-bpe": [{"type": "Split", "pattern": {"Regex": _LLAMA3}, "behavior": "Isolated", "invert": False}],
    "smollm": [{"type": "Digits", "individual_digits": True}],
}
_CUTS["lfm2"] = _CUTS["llama-bpe"]
_WHOLE_WORDS_FIRST = ("llama-bpe", "lfm2")  # a word that is a token is not merged from its pieces


def tokenizer_json(header: GgufHeader) -> dict[str, Any]:
    """The content of tokenizer.json. The header must have been read with `keep=KEPT`."""
    tokens, kinds, merges = (_array(header, key) for key in KEPT)
    pre = header.text("tokenizer.ggml.pre")
    cuts = _CUTS.get(pre, [])
    cut_by_regex = any(cut["type"] == "Split" for cut in cuts)
    added = [
        {"id": token, "content": text, "special": kind in _SPECIAL, "normalized": False}
        | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
        for token, (text, kind) in enumerate(zip(tokens, kinds, strict=True))
        if kind in _ADDED
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*cuts, {**_BYTES, "use_regex": not cut_by_regex}]},
        "post_processor": None,
        "decoder": {**_BYTES, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": pre in _WHOLE_WORDS_FIRST,
            "vocab": {text: token for token, text in enumerate(tokens)},
            "merges": [merge.split(" ", 1) for merge in merges],
        },
    }


def tokenizer_config(header: GgufHeader) -> dict[str, Any]:
    """The content of tokenizer_config.json: which tokens begin and end a text."""
    tokens = _array(header, KEPT[0])
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    for ours, theirs in (("bos", "bos_token"), ("eos", "eos_token"), ("padding", "pad_token")):
        token = header.metadata.get(f"tokenizer.ggml.{ours}_token_id")
        if isinstance(token, int) and 0 <= token < len(tokens):
            config[theirs] = tokens[token]
    return config


def _array(header: GgufHeader, key: str) -> tuple[Any, ...]:
    value = header.metadata.get(key)
    return value if isinstance(value, tuple) else ()
