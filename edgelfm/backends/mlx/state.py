"""What a network remembers of the tokens it has seen, and how far back it can go.

Attention layers keep something for every token, so their memory can be cut at any length. Convolution layers keep
their last few inputs only: once more is added, the earlier ones are gone. They are a few kilobytes, so copies are kept
of how they stood at the ends of recent prompts, and the state can go back to those.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from ...planning.plan import KvType
from ..tokenwise import common_prefix
from .library import Library

_MARKS = 8  # places to go back to; at 1.2B a mark is 80 KiB
_QUANTIZED_BITS: dict[KvType, int] = {"q8_0": 8, "q4_0": 4}
_GROUP = 32  # values that share a scale; LFM2's heads are 64 wide, the smallest network's 32


@dataclass(frozen=True, slots=True)
class _Mark:
    length: int  # tokens
    kept: tuple[tuple[Any, ...], ...]  # for each convolution layer, its arrays


class State:
    """The caches of all layers and the token ids they stand for."""

    def __init__(self, library: Library, model: Any, kv_type: KvType) -> None:
        self._library = library
        self._model = model
        self._kv_type = kv_type
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.tokens: list[int] = []
        self._marks: deque[_Mark] = deque(maxlen=_MARKS)
        self.caches: list[Any] = [self._stored(c) for c in self._library.caches.make_prompt_cache(self._model)]

    def rewind(self, prompt: list[int]) -> int:
        """Go back to the longest beginning of `prompt`, short of its last token, and return its length in tokens."""
        shared = min(common_prefix(self.tokens, prompt), len(prompt) - 1)
        if shared == len(self.tokens):
            return shared
        if shared and all(cache.is_trimmable() for cache in self.caches):
            self._cut(shared)
            return shared
        while self._marks and self._marks[-1].length > shared:
            self._marks.pop()
        if not self._marks:
            self.clear()
            return 0
        mark = self._marks[-1]
        self._cut(mark.length)
        for cache, kept in zip(self._convolutions(), mark.kept, strict=True):
            cache.cache = list(kept)
        return mark.length

    def mark(self) -> None:
        """Remember how it stands, to come back to."""
        others = [cache for cache in self.caches if not isinstance(cache, self._library.caches.ArraysCache)]
        if len(others) == len(self.caches) or not all(cache.is_trimmable() for cache in others):
            return  # needs no marks, or could not use them
        if not self.tokens or (self._marks and self._marks[-1].length == len(self.tokens)):
            return
        mx = self._library.mx
        # Copies: what the layer holds is a view into all inputs of the last step, which a mark would keep in memory.
        kept = tuple(tuple(mx.contiguous(array) for array in cache.cache) for cache in self._convolutions())
        mx.eval(kept)
        self._marks.append(_Mark(len(self.tokens), kept))

    def arrays(self) -> list[Any]:
        """Everything remembered, for evaluation."""
        return [cache.state for cache in self.caches]

    def bytes(self) -> tuple[int, int]:
        """Bytes of attention layers and of convolution layers, marks included."""
        mark = sum(array.nbytes for mark in tuple(self._marks) for kept in mark.kept for array in kept)
        conv = sum(cache.nbytes for cache in self._convolutions())
        return sum(cache.nbytes for cache in self.caches) - conv, conv + mark

    def _cut(self, length: int) -> None:
        for cache in self.caches:
            if cache.is_trimmable():
                cache.trim(len(self.tokens) - length)
        del self.tokens[length:]

    def _convolutions(self) -> list[Any]:
        return [cache for cache in self.caches if isinstance(cache, self._library.caches.ArraysCache)]

    def _stored(self, cache: Any) -> Any:
        caches, bits = self._library.caches, _QUANTIZED_BITS.get(self._kv_type)
        if bits is None or type(cache) is not caches.KVCache:
            return cache
        return caches.QuantizedKVCache(group_size=_GROUP, bits=bits)
