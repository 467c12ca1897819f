"""The tensors of a folder of safetensors as f32, some rows at a time, with an adapter merged in where there is one.

bf16 is widened by shifting bits; no framework is needed. Knows nothing of what the tensors are for.
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..errors import ModelFileError

if TYPE_CHECKING:
    import numpy as np

    from .adapter import Adapter

    Array = np.ndarray[Any, Any]

#: Values widened at once: 16 MiB as f32.
PIECE = 4 * 1024**2
_BYTES = {"F32": 4, "F16": 2, "BF16": 2, "F64": 8}


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a tensor lies."""

    file: int
    dtype: str
    shape: tuple[int, ...]  # outermost first
    begin: int  # bytes from the start of the file


class Weights:
    """All tensors of `model*.safetensors` in a folder, or of the one file given. Close it, or use it in a `with`."""

    def __init__(self, place: Path, adapter: Adapter | None = None) -> None:
        paths = [place] if place.is_file() else sorted(place.glob("model*.safetensors"))
        self._adapter = adapter
        self._maps: list[mmap.mmap] = []
        self.stored: dict[str, Stored] = {}
        try:
            for path in paths:
                self._open(path)
        except BaseException:
            self.close()
            raise
        if adapter is not None:
            adapter.require_fit({name: one.shape for name, one in self.stored.items()})

    def rows(self, name: str, first: int = 0, last: int | None = None) -> Array:
        """Rows `first` to `last` as f32; a tensor of one dimension is one column. Inner dimensions are flattened."""
        import numpy as np

        one = self.stored[name]
        count, width = _sides(one.shape)
        last = count if last is None else min(last, count)
        size = _BYTES.get(one.dtype)
        if size is None:
            raise ModelFileError(f"{name} is stored as {one.dtype}", hint="save the model in bf16, f16 or f32")
        start = one.begin + first * width * size
        raw = self._maps[one.file][start : start + (last - first) * width * size]
        if one.dtype == "BF16":
            wide = np.frombuffer(raw, "<u2").astype(np.uint32) << np.uint32(16)
            values = wide.view(np.float32)
        else:
            values = np.frombuffer(raw, {"F32": "<f4", "F16": "<f2", "F64": "<f8"}[one.dtype]).astype(np.float32)
        values = values.reshape(last - first, width)
        return values if self._adapter is None else self._adapter.merged(name, values, first)

    def pieces(self, name: str, *, unit: int = 1) -> Iterator[Array]:
        """All rows in order, a bounded number at a time and always a multiple of `unit`."""
        count, width = _sides(self.stored[name].shape)
        step = max(1, PIECE // (width * unit)) * unit
        for first in range(0, count, step):
            yield self.rows(name, first, first + step)

    def close(self) -> None:
        """Let go of the files."""
        for one in self._maps:
            one.close()
        self._maps.clear()

    def __enter__(self) -> Weights:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, path: Path) -> None:
        hint = "copy or download it again"
        with path.open("rb") as file:
            size = path.stat().st_size
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > size - 8:
                raise ModelFileError(f"{path} has {size} bytes and no complete header", hint=hint)
            try:
                header = json.loads(file.read(length))
                header.pop("__metadata__", None)
                for name, one in header.items():
                    shape, (begin, end) = tuple(map(int, one["shape"])), one["data_offsets"]
                    width = _BYTES.get(one["dtype"])
                    if width is not None and end - begin != math.prod(shape) * width:
                        raise ValueError(f"{name} has {end - begin} bytes for the shape {list(shape)}")
                    if end > size - 8 - length or begin < 0 or begin > end:
                        raise ValueError(f"{name} ends after the end of the file")
                    if name in self.stored:
                        raise ValueError(f"{name} is there twice")
                    self.stored[name] = Stored(len(self._maps), one["dtype"], shape, 8 + length + begin)
            except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
                raise ModelFileError(f"{path} is truncated or broken: {error}", hint=hint) from error
            self._maps.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _sides(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows, and values in a row."""
    return (shape[0], math.prod(shape[1:])) if shape else (1, 1)
