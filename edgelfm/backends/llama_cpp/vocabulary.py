"""Text to token ids and back, through llama.cpp's own tokenizer."""

from __future__ import annotations

import ctypes
import functools
from types import ModuleType

from ...errors import BackendError

_CONTROL = 1 << 3  # LLAMA_TOKEN_ATTR_CONTROL
_USER_DEFINED = 1 << 4  # LLAMA_TOKEN_ATTR_USER_DEFINED
_LONGEST_PIECE = 512  # bytes; longer ones are asked for again with the right size


class Vocabulary:
    """The vocabulary of one model. Safe to use from any thread while the model is open."""

    def __init__(self, llama: ModuleType, model: int) -> None:
        self._llama = llama
        self._vocab = llama.llama_model_get_vocab(model)
        self.size: int = llama.llama_vocab_n_tokens(self._vocab)
        # What llama.cpp said of a token is kept: texts repeat theirs, and asking costs more than all else in the loop.
        self._pieces: dict[int, bytes] = {}
        self._ends: dict[int, bool] = {}

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids of `text`, without BOS.

        Lone surrogates, which have no UTF-8 form, become replacement characters.
        """
        data = text.encode("utf-8", "replace")
        room = len(data) + 8  # a token is at least one byte
        ids = (ctypes.c_int32 * room)()
        count = self._llama.llama_tokenize(self._vocab, data, len(data), ids, room, False, special)
        if count < 0:
            ids = (ctypes.c_int32 * -count)()
            count = self._llama.llama_tokenize(self._vocab, data, len(data), ids, -count, False, special)
        if count < 0:
            raise BackendError(f"llama.cpp could not tokenize a text of {len(text)} characters")
        return ids[:count]

    def piece(self, token: int) -> bytes:
        """The bytes of one token, special tokens included; none for an id that stands for nothing."""
        known = self._pieces.get(token)
        if known is not None:
            return known
        if not 0 <= token < self.size:  # llama.cpp would end the process
            return b""
        known = self._pieces[token] = self._ask_piece(token)
        return known

    def _ask_piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(_LONGEST_PIECE)
        length = self._llama.llama_token_to_piece(self._vocab, token, buffer, _LONGEST_PIECE, 0, True)
        if length < 0:
            buffer = ctypes.create_string_buffer(-length)
            length = self._llama.llama_token_to_piece(self._vocab, token, buffer, -length, 0, True)
        return buffer.raw[:length]

    def ends_generation(self, token: int) -> bool:
        """Whether the model says with this token that it is done."""
        known = self._ends.get(token)
        if known is None:
            known = self._ends[token] = bool(self._llama.llama_vocab_is_eog(self._vocab, token))
        return known

    @functools.cached_property
    def markers(self) -> frozenset[str]:
        """Texts of all control tokens and of those added by the model's authors."""
        special = _CONTROL | _USER_DEFINED
        attributes = self._llama.llama_vocab_get_attr
        ids = (token for token in range(self.size) if attributes(self._vocab, token) & special)
        return frozenset(text for token in ids if (text := self.piece(token).decode("utf-8", "replace").strip()))

    def special_tokens(self) -> dict[str, str]:
        """`bos_token` and `eos_token` as text, empty where the model has none."""
        ids = {
            "bos_token": self._llama.llama_vocab_bos(self._vocab),
            "eos_token": self._llama.llama_vocab_eos(self._vocab),
        }
        return {name: self.piece(token).decode("utf-8", "replace") if token >= 0 else "" for name, token in ids.items()}
