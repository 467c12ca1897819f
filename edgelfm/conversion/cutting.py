"""How a tokenizer.json cuts text before it merges, in llama.cpp's word for it.

In GGUF a way to cut is a name, and llama.cpp has code for it; a wrong name would give other tokens. The name is found
by what the pre-tokenizer says, or, where a rule is spelled in another way, by what it does to a text of corner cases.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from .sample import SAMPLE

_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_ENDINGS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#: The rules as they are published.
_RULES = {
    f"{_ENDINGS}|{_WORDS}|\\p{{N}}{{1,3}}|{_REST}": "llama-bpe",
    f"{_ENDINGS}|{_WORDS}|\\p{{N}}|{_REST}": "qwen2",
}
#: Where rules that look alike part: capitals after an apostrophe, runs of digits, spaces and line breaks, marks on
#: letters, signs of several scripts.
_CORNERS = (
    "I'M you'Ll it'S 12 123 1234 12345 ½ ٣٤٥ Ⅻ  a   b \n\n  c\r\n\td\t e \n f...\n!!  \n ?x _y __z a_b 3rd v1.2.3 "
    "naïve e\u0301 한국어 日本語 \U0001f600\U0001f3fd a\u00a0b \u200d x²  "
)


def name_of(pre_tokenizer: Any, network: str) -> str | None:
    """llama.cpp's name for what a pre-tokenizer does, None if it has none that is known here."""
    all_parts = list(parts(pre_tokenizer))
    bytes_ = [one for one in all_parts if one.get("type") == "ByteLevel"]
    if len(bytes_) != 1 or bytes_[0].get("add_prefix_space") or all_parts[-1] is not bytes_[0]:
        return None
    cuts, by_regex = all_parts[:-1], bytes_[0].get("use_regex", True)
    if not cuts:
        return "gpt-2" if by_regex else None
    if len(cuts) > 1:
        return None
    cut = cuts[0]
    if cut.get("type") == "Digits":
        return "smollm" if cut.get("individual_digits") and by_regex else None
    if cut.get("type") != "Split" or by_regex or cut.get("behavior") != "Isolated" or cut.get("invert"):
        return None
    name = _rule(str((cut.get("pattern") or {}).get("Regex")))
    # The same rule, but llama.cpp keeps a name for each family of models.
    return "lfm2" if name == "llama-bpe" and network.startswith("lfm2") else name


def parts(one: Any, key: str = "pretokenizers") -> Iterator[Mapping[str, Any]]:
    """The members of a sequence in a tokenizer.json, or the one thing that stands in its place."""
    if isinstance(one, dict):
        if one.get("type") == "Sequence":
            yield from (part for part in one.get(key) or () if isinstance(part, dict))
        else:
            yield one


def _rule(regex: str) -> str | None:
    known = _RULES.get(regex)
    if known is not None or find_spec("tokenizers") is None:
        return known
    cut = _cut(regex)
    return next((name for rule, name in _RULES.items() if cut is not None and _cut(rule) == cut), None)


@functools.cache
def _cut(regex: str) -> tuple[str, ...] | None:
    """The pieces of the text of corner cases; None for what is no rule."""
    tokenizers = import_module("tokenizers")
    try:
        split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(regex), "isolated")
        return tuple(piece for piece, _ in split.pre_tokenize_str(_CORNERS + SAMPLE))
    except Exception:  # noqa: BLE001  (the library raises nothing narrower)
        return None
