"""Text to token ids and back, by the tokenizer.json of a model, and what its other files say about conversations."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ModelFileError, RequestError
from .safetensors import read_json

#: Every family that has these tokens means the end of a turn or of a text by them, whether or not its files say so.
_ENDS = ("<|im_end|>", "<|endoftext|>")
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


def chat_template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    """The Jinja source, from chat_template.jinja or else from tokenizer_config.json, which holds `settings`."""
    own = folder / "chat_template.jinja"
    if own.is_file():
        return own.read_text(encoding="utf-8", errors="replace")
    source = settings.get("chat_template")
    if isinstance(source, list):  # several, by name: "default", "tool_use", "rag"
        named = [one for one in source if isinstance(one, dict)]
        source = next((one.get("template") for one in named if one.get("name") == "default"), None)
    return source if isinstance(source, str) else None


def require_known(tokens: Sequence[int], words: int) -> None:
    """Raises `RequestError` for a token that a network of so many words has no place for.

    A tokenizer may know more than its network: runtimes then fail somewhere inside, or read what lies behind.
    """
    if min(tokens) < 0 or max(tokens) >= words:
        strange = next(token for token in tokens if not 0 <= token < words)
        raise RequestError(
            f"the prompt has the token {strange}, and the network knows {words:,}, counted from 0",
            hint="its tokenizer is of another model, or the token ids are: download the model again",
        )


class Vocabulary:
    """The vocabulary of one folder. Safe to use from any thread. Raises `ModelFileError` if it cannot be understood."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        import tokenizers

        path = folder / "tokenizer.json"
        source = read_json(path)
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise ModelFileError(f"{path}: {error}", hint="download the model again: `edgelfm pull <model>`") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._added = {id_: added.content for id_, added in self._tokenizer.get_added_tokens_decoder().items()}
        self._spelling = _spelling(source.get("decoder"))
        if self._spelling is None:
            raise ModelFileError(
                f"{path}: spells tokens in a way that edgelfm does not know: {source.get('decoder')}",
                hint="run this model in llama.cpp: it has a tokenizer for it in the .gguf file",
            )
        self._folder = folder
        self._config = config
        self._pieces: dict[int, bytes] = {}
        self.markers = frozenset(text for text in map(str.strip, self._added.values()) if text)
        self._marker = re.compile(
            "|".join(re.escape(text) for text in sorted(self.markers, key=len, reverse=True) if len(text) > 1)
            or r"(?!)"
        )
        self._ends = frozenset(self._find_ends())

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids of `text`, without BOS. Lone surrogates, which have no UTF-8 form, become question marks."""
        text = text.encode("utf-8", "replace").decode("utf-8")
        if special:
            return self._encode(text)
        return [token for part in self._cut(text) for token in self._encode(part)]

    def piece(self, token: int) -> bytes:
        """The bytes of one token, special tokens included; none for an id that stands for nothing."""
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self._spell(token)
        return piece

    def ends_generation(self, token: int) -> bool:
        """Whether the model says with this token that it is done."""
        return token in self._ends

    @functools.cached_property
    def chat_template(self) -> str | None:
        """The Jinja source, see `chat_template`."""
        return chat_template(self._folder, self._settings)

    def special_tokens(self) -> dict[str, str]:
        """`bos_token` and `eos_token` as text, empty where the model has none."""
        return {name: self._special(name) for name in ("bos_token", "eos_token")}

    @functools.cached_property
    def _settings(self) -> dict[str, Any]:
        path = self._folder / "tokenizer_config.json"
        return read_json(path) if path.is_file() else {}

    def _special(self, name: str) -> str:
        token = self._settings.get(name)
        text = token.get("content") if isinstance(token, dict) else token
        if isinstance(text, str):
            return text
        ids = self._config.get(f"{name}_id")
        first = ids[0] if isinstance(ids, list) and ids else ids
        return self._added.get(first, "") if isinstance(first, int) else ""

    def _find_ends(self) -> Iterator[int]:
        generation = self._folder / "generation_config.json"
        for source in (self._config, read_json(generation) if generation.is_file() else {}):
            ids = source.get("eos_token_id")
            yield from (token for token in (ids if isinstance(ids, list) else [ids]) if isinstance(token, int))
        texts = {*_ENDS, self._special("eos_token")}
        yield from (token for token, text in self._added.items() if text in texts)

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def _cut(self, text: str) -> Iterator[str]:
        """`text` in parts that hold no whole marker: each is cut after its first character."""
        begin = 0
        while match := self._marker.search(text, begin):
            yield text[begin : match.start() + 1]
            begin = match.start() + 1
        yield text[begin:]

    def _spell(self, token: int) -> bytes:
        text = self._added.get(token)
        if text is not None:
            return text.encode("utf-8", "replace")
        text = self._tokenizer.id_to_token(token)
        if text is None:
            return b""
        if self._spelling == "byte level":
            bytes_ = _byte_of()
            return b"".join(
                bytes((bytes_[char],)) if char in bytes_ else char.encode("utf-8", "replace") for char in text
            )
        if match := _BYTE.fullmatch(text):
            return bytes.fromhex(match[1])
        return text.replace("▁", " ").encode("utf-8", "replace")


def _spelling(decoder: Any) -> str | None:
    """How the texts in a vocabulary stand for bytes: "byte level" as in GPT-2, "spaces" as in SentencePiece."""
    kinds = set(_kinds(decoder))
    if "ByteLevel" in kinds:
        return "byte level"
    return "spaces" if kinds & {"ByteFallback", "Metaspace"} else None


def _kinds(decoder: Any) -> Iterator[str]:
    if isinstance(decoder, dict):
        yield str(decoder.get("type"))
        for part in decoder.get("decoders") or ():
            yield from _kinds(part)


@functools.cache
def _byte_of() -> dict[str, int]:
    """GPT-2's spelling: printable bytes stand for themselves, the others for U+0100 and up, in order."""
    shown = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    moved = (byte for byte in range(256) if byte not in shown)
    return {chr(byte): byte for byte in shown} | {chr(256 + i): byte for i, byte in enumerate(moved)}
