"""An attention layer's cache with room ahead: a new token is written in its place.

transformers' own `DynamicLayer` copies all keys and values for every token. Imported only once torch is known to load.
"""

from __future__ import annotations

from typing import Any

from transformers.cache_utils import DynamicLayer

from ...units import round_up

STEP = 256  # tokens; a cache has room for a multiple of it


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """What a `DynamicLayer` is, for one sequence."""

    keys: Any
    values: Any

    def __init__(self, context: int) -> None:
        super().__init__()
        self.most = round_up(context, STEP)  # tokens that there is ever room for
        self.length = 0  # tokens of `keys` and `values` that mean something

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Write what is new behind the rest. Returns all keys and all values."""
        begin, end = self.length, self.length + key_states.shape[-2]
        if not self.is_initialized or end > self.keys.shape[-2]:
            self._grow(key_states, value_states, end)
        self.keys[:, :, begin:end] = key_states
        self.values[:, :, begin:end] = value_states
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        """Tokens."""
        return self.length

    def cut(self, length: int) -> None:
        """Forget what is behind the first `length` tokens."""
        self.length = length

    def copied(self) -> dict[str, Any]:
        """Keys and values as new tensors."""
        if not self.length:
            return {}
        return {"keys": self.keys[:, :, : self.length].clone(), "values": self.values[:, :, : self.length].clone()}

    def put(self, copied: dict[str, Any]) -> None:
        """Hold what `copied` gave, and nothing else."""
        self.length = 0
        if copied:
            self.update(copied["keys"], copied["values"])

    def nbytes(self) -> int:
        """Bytes held, room ahead included."""
        return int(self.keys.nbytes + self.values.nbytes) if self.is_initialized else 0

    def _grow(self, key_states: Any, value_states: Any, needed: int) -> None:
        ahead = round_up(needed + needed // 8, STEP) if needed > STEP else STEP
        room = max(needed, min(ahead, self.most))
        grown = []
        for old, new in ((self.keys, key_states), (self.values, value_states)):
            fresh = new.new_empty((*new.shape[:-2], room, new.shape[-1]))
            if self.length:
                fresh[:, :, : self.length] = old[:, :, : self.length]
            grown.append(fresh)
        self.device, self.dtype = key_states.device, key_states.dtype
        self.keys, self.values = grown
        self.is_initialized = True
