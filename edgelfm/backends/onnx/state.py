"""What a graph remembers of the tokens it has seen: memory for it, made once, and how it is copied, put back and cut.

Keys and values lie in buffers with room for the whole context. Where attention may write behind what it reads, past and
present are one buffer, and going back only forgets a length. Other graphs give back the past with the new tokens
behind it, all heads moved; for them there are two buffers, read and written by turns. Convolution layers keep their
last few inputs, also in two buffers by turns. Decides nothing.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..states import Copied
from .library import Library
from .ports import Cache, Ports

#: Memory that buffers can be made in, by the name ONNX Runtime gives it.
_BUFFERS = {"cpu": "cpu", "cuda": "cuda", "dml": "dml"}


class Buffer:
    """Memory that a graph reads and writes: a numpy array, or memory of a device that numpy cannot see."""

    def __init__(self, library: Library, values: int, dtype: str, memory: str) -> None:
        import numpy

        self._on_host = memory == "cpu"
        self.bytes = values * numpy.dtype(dtype).itemsize
        if self._on_host:
            self._array = numpy.zeros(values, dtype)  # pages are taken from the system as they are first written
            self.pointer = self._array.ctypes.data
        else:
            self._value = library.ort.OrtValue.ortvalue_from_shape_and_type([values], dtype, memory, 0)
            self._value.update_inplace(numpy.zeros(values, dtype))
            self.pointer = self._value.data_ptr()

    def read(self, shape: tuple[int, ...]) -> Any:
        """The first values, in `shape`. To be copied before the graph runs again."""
        whole = self._array if self._on_host else self._value.numpy()
        return whole[: math.prod(shape)].reshape(shape)

    def write(self, values: Any, shape: tuple[int, ...], tokens: int | None = None) -> None:
        """Put `values` where a graph would read them in `shape`, of which only the first `tokens` rows are given."""
        whole = self._array if self._on_host else self._value.numpy()
        target = whole[: math.prod(shape)].reshape(shape)
        if tokens is None:
            target[...] = values
        else:
            target[:, :, :tokens] = values
        if not self._on_host:
            self._value.update_inplace(whole)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a copy holds."""

    arrays: dict[str, Any]  # by the name of the input
    tokens: int | None = None  # that it stands for; None for a checkpoint


class State:
    """See `backends.states.Runtime`. Copies hold `Parts`."""

    def __init__(
        self, library: Library, ports: Ports, context: int, memories: Mapping[str, str], *, shared: bool
    ) -> None:
        self.length = 0  # tokens
        self._context = context
        self._shared = shared
        self._attention, self._convolution = ports.attention, ports.convolution
        self._turn = 0  # which of two buffers is the past
        self._memories = {name: _BUFFERS.get(memory, "cpu") for name, memory in memories.items()}
        # What a provider reads from memory of its own is copied there when it is bound, so it is bound at every step.
        self._copied_in = {name for name, memory in memories.items() if memory not in _BUFFERS}
        copies = 1 if shared else 2
        self._buffers: dict[str, list[Buffer]] = {}
        for cache in self._attention:
            size = context * math.prod(cache.shape)
            self._buffers[cache.past] = [self._buffer(library, cache, size) for _ in range(copies)]
        for cache in self._convolution:
            size = math.prod(cache.shape)
            self._buffers[cache.past] = [self._buffer(library, cache, size) for _ in range(2)]

    @property
    def turn(self) -> int:
        """Which of two bindings fits now: 0 or 1."""
        return self._turn

    def bind_fixed(self, binding: Any, turn: int) -> None:
        """Tell a binding for `turn` the places that stay what they are."""
        for cache in self._convolution:
            self._bind(binding, cache, (1, *cache.shape), (1, *cache.shape), turn)
        if self._shared:
            for cache in self._attention:
                self._bind(binding, cache, self._shape(cache, 0), self._shape(cache, 0), turn)

    def bind(self, binding: Any, new: int) -> None:
        """Tell a binding the places that depend on how many tokens there are, before `new` ones are evaluated."""
        for cache in self._attention:
            if not self._shared or cache.past in self._copied_in:
                past, present = self._shape(cache, self.length), self._shape(cache, self.length + new)
                self._bind(binding, cache, past, present, self._turn)
        for cache in self._convolution:
            if cache.past in self._copied_in:
                self._bind(binding, cache, (1, *cache.shape), (1, *cache.shape), self._turn)

    def advance(self, new: int) -> None:
        """The graph has evaluated that many tokens."""
        self.length += new
        self._turn = 1 - self._turn

    def clear(self) -> None:
        """Make the state stand for nothing."""
        self.length = 0
        for cache in self._convolution:
            self._now(cache).write(0, (1, *cache.shape))

    @property
    def cuttable(self) -> bool:
        """Whether all layers keep something for every token."""
        return not self._convolution

    def checkpoint(self) -> Copied:
        """What the convolution layers hold: at 1.2B, 240 KiB with three inputs a layer."""
        return _copied((cache.past, self._now(cache).read((1, *cache.shape))) for cache in self._convolution)

    def go_back(self, length: int, checkpoint: Copied | None) -> bool:
        """Cut the attention layers, and put the convolution layers back."""
        if self._convolution and checkpoint is None:
            return False
        if not self._shared and length != self.length:
            for cache in self._attention:
                self._now(cache).write(self._kept(cache, length).copy(), self._shape(cache, length))
        self.length = length
        if checkpoint is not None:
            for cache in self._convolution:
                self._now(cache).write(checkpoint.data.arrays[cache.past], (1, *cache.shape))
        return True

    def size(self) -> int:
        """Bytes of the part that is in use."""
        used = sum(self._now(cache).bytes * self.length // self._context for cache in self._attention)
        return used + sum(self._now(cache).bytes for cache in self._convolution)

    def take(self) -> Copied:
        """The part that is in use."""
        attention = ((cache.past, self._kept(cache, self.length)) for cache in self._attention)
        convolution = ((cache.past, self._now(cache).read((1, *cache.shape))) for cache in self._convolution)
        return _copied([*attention, *convolution], self.length)

    def put(self, copied: Copied) -> bool:
        """Replace the whole state. False if it is not that of such a graph."""
        length, arrays = copied.data.tokens or 0, copied.data.arrays
        fitting: dict[str, tuple[int, ...]] = {
            cache.past: (1, cache.shape[0], length, cache.shape[1]) for cache in self._attention
        }
        fitting |= {cache.past: (1, *cache.shape) for cache in self._convolution}
        if {name: array.shape for name, array in arrays.items()} != fitting or length > self._context:
            return False
        self.length = length
        for cache in self._attention:
            self._now(cache).write(arrays[cache.past], self._shape(cache, length), length)
        for cache in self._convolution:
            self._now(cache).write(arrays[cache.past], (1, *cache.shape))
        return True

    def pack(self, copied: Copied) -> bytes:
        """A copy as numpy's archive of arrays."""
        import numpy

        arrays = {f"past {name}": array for name, array in copied.data.arrays.items()}
        if copied.data.tokens is not None:
            arrays["tokens"] = numpy.array(copied.data.tokens)
        file = io.BytesIO()
        numpy.savez(file, allow_pickle=False, **arrays)
        return file.getvalue()

    def unpack(self, data: bytes | bytearray | memoryview) -> Copied:
        """The way back. Raises `ValueError` for anything else."""
        import zipfile

        import numpy

        try:
            with numpy.load(io.BytesIO(data), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except (zipfile.BadZipFile, OSError, EOFError, KeyError) as error:
            raise ValueError(str(error)) from error
        tokens = int(arrays.pop("tokens")) if "tokens" in arrays else None
        return _copied(((name.removeprefix("past "), array) for name, array in arrays.items()), tokens)

    def bytes(self) -> tuple[int, int]:
        """Bytes of attention layers and of convolution layers, with both buffers where there are two."""
        sizes = [sum(sum(buffer.bytes for buffer in self._buffers[cache.past]) for cache in caches)
                 for caches in (self._attention, self._convolution)]  # fmt: skip
        return sizes[0], sizes[1]

    def _bind(self, binding: Any, cache: Cache, past: tuple[int, ...], present: tuple[int, ...], turn: int) -> None:
        import numpy

        buffers, dtype = self._buffers[cache.past], numpy.dtype(cache.dtype).type
        before, after = buffers[turn % len(buffers)], buffers[(turn + 1) % len(buffers)]
        memory = self._memories[cache.past]
        binding.bind_input(cache.past, memory, 0, dtype, past, before.pointer)
        binding.bind_output(cache.present, memory, 0, dtype, present, after.pointer)

    def _buffer(self, library: Library, cache: Cache, values: int) -> Buffer:
        return Buffer(library, values, cache.dtype, self._memories[cache.past])

    def _now(self, cache: Cache) -> Buffer:
        buffers = self._buffers[cache.past]
        return buffers[self._turn % len(buffers)]

    def _kept(self, cache: Cache, length: int) -> Any:
        """Keys or values of the first tokens."""
        return self._now(cache).read(self._shape(cache, self.length))[:, :, :length]

    def _shape(self, cache: Cache, tokens: int) -> tuple[int, ...]:
        """What the graph is told of a cache that holds so many tokens."""
        heads, size = cache.shape
        return (1, heads, self._context if self._shared else tokens, size)


def _copied(arrays: Iterable[tuple[str, Any]], tokens: int | None = None) -> Copied:
    parts = Parts({name: array.copy() for name, array in arrays}, tokens)
    return Copied(parts, sum(array.nbytes for array in parts.arrays.values()))
