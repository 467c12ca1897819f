"""An LFM2 that always says the same: what a server does with thoughts, calls of tools and stop strings can then be told
word for word.

Every token is a direction of its own, and the last layer turns each into the one that follows it. Nothing else is in
the network, so it forgets all but the last token.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.tiny_folder import _write_safetensors, write_tiny_lfm2_folder

_PLAIN = 512  # tokens of the tiny vocabulary, before those of the script
_WIDTH = 576  # one direction a token, and a multiple of 64, as kernels for attention want it
#: What ends every prompt that asks for an answer, in bytes; see `CHAT_TEMPLATE`.
_LAST_OF_PROMPT = "Ċ"


def write_scripted_lfm2_folder(folder: Path, script: Sequence[str]) -> Path:
    """Write a model to `folder` that answers with `script`, a token each, every text once. Returns the folder.

    A text may be one of the special tokens. The answer ends with `<|im_end|>`.
    """
    assert len(set(script)) == len(script), "what follows a token hangs on nothing but that token"
    write_tiny_lfm2_folder(folder, hidden=_WIDTH, heads=9, kv_heads=3, feed_forward=_WIDTH, layers="ca", spread=0)
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    ids = dict(tokenizer["model"]["vocab"])
    new = [text for text in script if text not in ids]
    assert _PLAIN + len(new) <= _WIDTH
    ids |= {text: _PLAIN + number for number, text in enumerate(new)}
    plain = dict.fromkeys(("special", "normalized", "single_word", "lstrip", "rstrip"), False)
    tokenizer["added_tokens"] += [{"id": ids[text], "content": text, **plain} for text in new]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    chain = [ids[text] for text in (_LAST_OF_PROMPT, *script, "<|im_end|>")]

    config = json.loads((folder / "config.json").read_text())
    config["vocab_size"] = _PLAIN + len(new)
    (folder / "config.json").write_text(json.dumps(config, indent=1))

    same = np.eye(_WIDTH, dtype=np.float32)
    turned = np.zeros_like(same)
    for before, after in itertools.pairwise(chain):
        turned[after, before] = 1
    weights = _zeros(folder)
    weights["model.embed_tokens.weight"] = same[: config["vocab_size"]]
    weights |= {f"model.layers.1.feed_forward.{name}.weight": same for name in ("w1", "w3")}
    weights["model.layers.1.feed_forward.w2.weight"] = turned
    _write_safetensors(folder / "model.safetensors", weights)
    return folder


def _zeros(folder: Path) -> dict[str, np.ndarray]:
    """Every tensor of the folder: norms of ones, matrices of zeros."""
    with (folder / "model.safetensors").open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    header.pop("__metadata__")
    return {name: (np.ones if "norm" in name else np.zeros)(one["shape"], np.float32) for name, one in header.items()}
