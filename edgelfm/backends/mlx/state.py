"""The live state of an MLX network: the caches of its layers, copied out, put back, cut. Decides nothing.

What an MLX array holds never changes, but the name that Python has of it does: writing to a part of an array makes the
same object stand for a new one. So a copy needs objects of its own; it costs no memory before the original goes on.
"""

from __future__ import annotations

import io
from typing import Any

from ...planning.plan import KvType
from ..states import Copied
from .library import Library

_QUANTIZED_BITS: dict[KvType, int] = {"q8_0": 8, "q4_0": 4}
_GROUP = 32  # values that share a scale; LFM2's heads are 64 wide, the smallest network's 32


class State:
    """See `backends.states.Runtime`. Copies are the states of caches: nested lists of arrays and numbers."""

    def __init__(self, library: Library, model: Any, kv_type: KvType) -> None:
        self._library = library
        self._model = model
        self._kv_type = kv_type
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.caches: list[Any] = [self._stored(c) for c in self._library.caches.make_prompt_cache(self._model)]

    @property
    def cuttable(self) -> bool:
        """Whether all layers keep something for every token. Sliding windows and convolutions do not."""
        return all(cache.is_trimmable() for cache in self.caches)

    def checkpoint(self) -> Copied:
        """What the convolution layers hold: at 1.2B, 80 KiB."""
        # Copies: what the layer holds is a view into all inputs of the last step, which they would keep in memory.
        return self._evaluated(
            [[self._library.mx.contiguous(array) for array in c.cache] for c in self._convolutions()]
        )

    def go_back(self, length: int, checkpoint: Copied | None) -> bool:
        """Cut the attention layers, and put the convolution layers back. False if there are layers of other kinds."""
        convolutions = self._convolutions()
        others = [cache for cache in self.caches if cache not in convolutions]
        if not all(cache.is_trimmable() for cache in others) or (convolutions and checkpoint is None):
            return False
        for cache in others:
            cache.trim(cache.offset - length)
        if checkpoint is not None:
            for cache, kept in zip(convolutions, checkpoint.data, strict=True):
                cache.cache = list(kept)
        return True

    def size(self) -> int:
        """Bytes of the whole state."""
        return sum(self.bytes())

    def take(self) -> Copied:
        """The whole state."""
        return self._evaluated([self._own(cache.state) for cache in self.caches])

    def put(self, copied: Copied) -> bool:
        """Replace the whole state."""
        self.clear()
        for cache, kept in zip(self.caches, copied.data, strict=True):
            cache.state = self._own(kept)
        self._library.mx.eval(self.arrays())
        return True

    def pack(self, copied: Copied) -> bytes:
        """A copy as a safetensors file, numbers in its metadata."""
        leaves = dict(self._library.trees.tree_flatten(copied.data))
        arrays = {path: leaf for path, leaf in leaves.items() if isinstance(leaf, self._library.mx.array)}
        numbers = {path: repr(leaf) for path, leaf in leaves.items() if path not in arrays}
        file = io.BytesIO()
        self._library.mx.save_safetensors(file, arrays, numbers)
        return file.getvalue()

    def unpack(self, data: bytes | bytearray | memoryview) -> Copied:
        """The way back."""
        arrays, numbers = self._library.mx.load(io.BytesIO(data), format="safetensors", return_metadata=True)
        leaves = [*arrays.items(), *((path, None if n == "None" else int(n)) for path, n in numbers.items())]
        return self._evaluated(self._library.trees.tree_unflatten(leaves))

    def arrays(self) -> list[Any]:
        """Everything remembered, for evaluation."""
        return [cache.state for cache in self.caches]

    def bytes(self) -> tuple[int, int]:
        """Bytes of attention layers and of convolution layers."""
        conv = sum(cache.nbytes for cache in self._convolutions())
        # One for quantized keys cannot be asked while it is empty.
        return sum(cache.nbytes for cache in self.caches if not cache.empty()) - conv, conv

    def _own(self, kept: Any) -> Any:
        """The same, in lists and arrays that nobody else writes to."""
        if isinstance(kept, (list, tuple)):
            return [self._own(one) for one in kept]
        return self._library.mx.contiguous(kept) if isinstance(kept, self._library.mx.array) else kept

    def _evaluated(self, data: Any) -> Copied:
        leaves = [
            leaf for _, leaf in self._library.trees.tree_flatten(data) if isinstance(leaf, self._library.mx.array)
        ]
        self._library.mx.eval(leaves)
        return Copied(data, sum(leaf.nbytes for leaf in leaves))

    def _convolutions(self) -> list[Any]:
        return [cache for cache in self.caches if isinstance(cache, self._library.caches.ArraysCache)]

    def _stored(self, cache: Any) -> Any:
        caches, bits = self._library.caches, _QUANTIZED_BITS.get(self._kv_type)
        if bits is None or type(cache) is not caches.KVCache:
            return cache
        return caches.QuantizedKVCache(group_size=_GROUP, bits=bits)
