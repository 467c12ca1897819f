"""The live state of a network in transformers: the cache of each layer, copied out, put back, cut. Decides nothing.

Attention layers keep something for every token and are cut by a number. Whatever else a layer keeps (convolutions,
recurrences, sliding windows) is written over in place, so it is copied as it stands: for LFM2-350M 60 KiB.
"""

from __future__ import annotations

import json
from typing import Any

from ...errors import StateRefused
from ..states import Copied
from .library import Library


class State:
    """See `backends.states.Runtime`. Copies hold one entry a layer: its tensors by name."""

    def __init__(self, library: Library, config: Any, context: int) -> None:
        self._library, self._config, self._context = library, config, context
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        from .growing import GrowingLayer

        cache = self._library.dynamic_cache(config=self._config)
        cache.layers = [
            GrowingLayer(self._context) if type(layer) is GrowingLayer.__base__ else layer for layer in cache.layers
        ]
        self.cache: Any = cache
        self._attention = [layer for layer in cache.layers if isinstance(layer, GrowingLayer)]
        # Layers without attention, and those that use another layer's cache, have nothing to keep.
        rest = [layer for layer in cache.layers if layer not in self._attention]
        self._others = [layer for layer in rest if type(layer).__name__ != "DummyLayer"]

    @property
    def cuttable(self) -> bool:
        """Whether all layers keep something for every token. Sliding windows and convolutions do not."""
        return not self._others

    def checkpoint(self) -> Copied:
        """What the layers hold that cannot be cut."""
        return _counted([_copy(_kept(layer)) for layer in self._others])

    def go_back(self, length: int, checkpoint: Copied | None) -> bool:
        """Cut the attention layers, and put the others back. False without what these need."""
        if self._others and checkpoint is None:
            return False
        for layer in self._attention:
            layer.cut(length)
        if checkpoint is not None:
            for layer, kept in zip(self._others, checkpoint.data, strict=True):
                vars(layer).update(_copy(kept))
        return True

    def size(self) -> int:
        """Bytes that `take` would copy."""
        kv = sum(layer.nbytes() * layer.length // layer.keys.shape[-2] for layer in self._attention if layer.length)
        return int(kv) + sum(_nbytes(_kept(layer)) for layer in self._others)

    def take(self) -> Copied:
        """The whole state."""
        return _counted([[layer.copied() for layer in self._attention], *self.checkpoint().data])

    def put(self, copied: Copied) -> bool:
        """Replace the whole state. False if it is not of such a network."""
        self.clear()
        attention, *others = copied.data
        if len(attention) != len(self._attention) or len(others) != len(self._others):
            return False
        for layer, kept in zip(self._attention, attention, strict=True):
            layer.put(kept)
        for layer, kept in zip(self._others, others, strict=True):
            vars(layer).update(_copy(kept))
        return True

    def pack(self, copied: Copied) -> bytes:
        """A copy as a safetensors file. What is no tensor is JSON, as one tensor of bytes."""
        from safetensors.torch import save

        torch = self._library.torch
        tensors: dict[str, Any] = {}
        rest = json.dumps(self._flatten(copied.data, tensors)).encode()
        return bytes(save({**tensors, "rest": torch.frombuffer(bytearray(rest), dtype=torch.uint8)}))

    def unpack(self, data: bytes | bytearray | memoryview, device: str) -> Copied:
        """The way back. Raises `StateRefused`."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            tensors = load(bytes(data))
            rest = json.loads(tensors.pop("rest").numpy().tobytes())
            return _counted(self._unflatten(rest, {name: tensor.to(device) for name, tensor in tensors.items()}))
        except (SafetensorError, LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise StateRefused(
                f"the state cannot be read: {error}", hint="nothing is lost: the text is evaluated anew"
            ) from error

    def bytes(self) -> tuple[int, int]:
        """Bytes of keys and values, room ahead included, and of what layers without attention keep."""
        kv, rest = sum(layer.nbytes() for layer in self._attention), 0
        for layer in self._others:
            if getattr(layer, "is_sliding", False):
                kv += _nbytes(_kept(layer))
            else:
                rest += _nbytes(_kept(layer))
        return kv, rest

    def _flatten(self, value: Any, tensors: dict[str, Any]) -> Any:
        torch = self._library.torch
        if isinstance(value, torch.Tensor):
            tensors[name := str(len(tensors))] = value.contiguous()
            return ["tensor", name]
        if isinstance(value, dict):
            return ["dict", [[key, self._flatten(one, tensors)] for key, one in value.items()]]
        if isinstance(value, list):
            return ["list", [self._flatten(one, tensors) for one in value]]
        if isinstance(value, torch.dtype):
            return ["dtype", str(value).removeprefix("torch.")]
        if isinstance(value, torch.device):
            return ["device", str(value)]
        return ["plain", value]

    def _unflatten(self, node: Any, tensors: dict[str, Any]) -> Any:
        kind, value = node
        if kind == "tensor":
            return tensors[value]
        if kind == "dict":
            return {key: self._unflatten(one, tensors) for key, one in value}
        if kind == "list":
            return [self._unflatten(one, tensors) for one in value]
        if kind in ("dtype", "device"):
            torch = self._library.torch
            return getattr(torch, value) if kind == "dtype" else torch.device(value)
        return value


def _kept(layer: Any) -> dict[str, Any]:
    """What a layer keeps: tensors, numbers and types; nothing that it was made with, such as a configuration."""
    return {name: value for name, value in vars(layer).items() if _keepable(value)}


def _keepable(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_keepable, value.values()))
    return value is None or isinstance(value, bool | int | float) or type(value).__module__ == "torch"


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(one) for key, one in value.items()}
    return value.clone() if hasattr(value, "clone") else value


def _nbytes(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(_nbytes, value.values()))
    if isinstance(value, list):
        return sum(map(_nbytes, value))
    return int(value.nbytes) if hasattr(value, "nbytes") else 0


def _counted(data: Any) -> Copied:
    return Copied(data, _nbytes(data))
