"""A tokenizer.json in the words of a GGUF file, for byte-level BPE: what LFM2, SmolLM2 and Llama 3 have.

How text is cut before merging is `cutting`'s; what has no name there, or is no byte-level BPE, is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ..backends.safetensors import read_json
from ..backends.vocabulary import chat_template
from ..errors import ModelFileError
from .cutting import name_of, parts

_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5  # llama_token_type


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """What a GGUF file says about text."""

    pre: str  # llama.cpp's name of how text is cut before merging
    tokens: tuple[str, ...]
    types: tuple[int, ...]
    merges: tuple[str, ...]
    special: Mapping[str, int]  # "bos", "eos", "eot", "pad", "unk" to token ids, where there are
    adds_bos: bool  # before every text
    chat_template: str | None

    def write(self, writer: Any) -> None:
        """Put it into a `gguf.GGUFWriter`."""
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(self.pre)
        writer.add_token_list(list(self.tokens))
        writer.add_token_types(list(self.types))
        writer.add_token_merges(list(self.merges))
        for name, token in self.special.items():
            getattr(writer, f"add_{name}_token_id")(token)
        writer.add_add_bos_token(self.adds_bos)
        if self.chat_template:
            writer.add_chat_template(self.chat_template)


def read_tokenizer(folder: Path, config: Mapping[str, Any], network: str, vocabulary: int) -> Tokenizer:
    """The tokenizer of a folder whose network has `vocabulary` embeddings. Raises `ModelFileError`."""
    path = folder / "tokenizer.json"
    if not path.is_file() and any((folder / name).is_file() for name in ("tokenizer.model", "spiece.model")):
        _refuse(folder, "has a SentencePiece tokenizer")
    if not path.is_file():
        raise ModelFileError(
            f"{folder} holds no tokenizer.json", hint="save it there too: tokenizer.save_pretrained(folder)"
        )
    source, settings = read_json(path), _optional(folder / "tokenizer_config.json")
    model = source.get("model")
    if (
        not isinstance(model, dict)
        or model.get("type") != "BPE"
        or "ByteLevel" not in set(_kinds(source.get("decoder"), "decoders"))
    ):
        _refuse(path, "is no byte-level BPE")
    for one in _kinds(source.get("normalizer"), "normalizers"):
        if one != "NFC":  # which llama.cpp leaves to whoever writes the text
            _refuse(path, f"normalizes text ({one})")
    pre = name_of(source.get("pre_tokenizer"), network)
    if pre is None:
        _refuse(path, f"cuts text in a way that has no name here: {source.get('pre_tokenizer')}")
    tokens, types = _tokens(path, model.get("vocab"), source.get("added_tokens") or [], vocabulary)
    ids = {text: number for number, text in enumerate(tokens)}
    merges = tuple(one if isinstance(one, str) else " ".join(one) for one in model.get("merges") or ())
    special = _special(folder, config, settings, ids)
    adds_bos = _adds_bos(source.get("post_processor"), settings, tokens, special.get("bos"))
    return Tokenizer(pre, tokens, types, merges, special, adds_bos, chat_template(folder, settings))


def _tokens(path: Path, vocab: Any, added: Any, vocabulary: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    try:
        texts = {int(number): str(text) for text, number in vocab.items()}
        types = dict.fromkeys(texts, _NORMAL)
        for one in added:
            number = int(one["id"])
            texts[number] = one["content"]
            types[number] = _CONTROL if one.get("special") or _marks(one["content"]) else _USER_DEFINED
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        _refuse(path, f"has a vocabulary that cannot be read: {error!r}")
    most = max(texts, default=-1)
    if not 0 <= most < vocabulary:
        _refuse(path, f"has tokens up to {most}, and the network {vocabulary} embeddings")
    whole = range(vocabulary)  # networks have more embeddings than words, for the sake of round numbers
    return tuple(texts.get(i, f"[PAD{i}]") for i in whole), tuple(types.get(i, _UNUSED) for i in whole)


def _marks(text: str) -> bool:
    """Whether it is written as a marker; llama.cpp's own converter goes by that too (`does_token_look_special`)."""
    return text.startswith("<|") and text.endswith("|>")


def _special(
    folder: Path, config: Mapping[str, Any], settings: Mapping[str, Any], ids: Mapping[str, int]
) -> dict[str, int]:
    found: dict[str, int] = {}
    generation = _optional(folder / "generation_config.json")
    for name in ("bos", "eos", "unk", "pad"):
        text = settings.get(f"{name}_token")
        text = text.get("content") if isinstance(text, dict) else text
        number = ids.get(text) if isinstance(text, str) else None
        listed = _listed(config.get(f"{name}_token_id")) or _listed(generation.get(f"{name}_token_id"))
        number = number if number is not None else next(iter(listed), None)
        if number is not None and 0 <= number < len(ids):
            found[name] = number
    ends = [*_listed(generation.get("eos_token_id")), *_listed(config.get("eos_token_id"))]
    turn = next((end for end in ends if end != found.get("eos") and 0 <= end < len(ids)), None)
    if turn is not None and "eos" in found:  # a second end: of a turn, where the other is that of a text, or vice versa
        found["eot"] = turn
    return found


def _adds_bos(post: Any, settings: Mapping[str, Any], tokens: tuple[str, ...], bos: int | None) -> bool:
    if bos is None:
        return False
    for part in parts(post, "processors"):
        for piece in part.get("single") or () if part.get("type") == "TemplateProcessing" else ():
            return (piece.get("SpecialToken") or {}).get("id") == tokens[bos]
    return settings.get("add_bos_token") is True


def _kinds(one: Any, key: str) -> Iterator[str]:
    for part in parts(one, key):
        yield str(part.get("type"))


def _listed(ids: Any) -> list[int]:
    return [one for one in (ids if isinstance(ids, list) else [ids]) if type(one) is int]


def _optional(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _refuse(what: Path, reason: str) -> NoReturn:
    raise ModelFileError(
        f"{what} {reason}", hint="byte-level BPE is converted as LFM2, SmolLM2, Llama 3, GPT-2 and Qwen 2 cut text"
    )
