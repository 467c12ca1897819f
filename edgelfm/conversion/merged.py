"""A Hugging Face folder with an adapter merged into its weights, for converters that read folders themselves."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backends.adapter import Adapter
from ..backends.weights import Weights
from .naming import gguf_library
from .source import Source

if TYPE_CHECKING:
    import numpy as np

_WIDTHS = {"F32": 4, "F16": 2, "BF16": 2}
_LEFT_OUT = (".safetensors", ".safetensors.index.json", ".bin", ".pt", ".pth", ".gguf", ".py")


def write_merged(
    folder: Path, source: Source, adapter: Adapter, told: Callable[[float], None] = lambda _: None
) -> None:
    """Fill the empty `folder`: every tensor in the type it was stored in, in one file, and all that is no weights."""
    for path in source.folder.iterdir():
        if path.is_file() and not path.name.endswith(_LEFT_OUT):
            shutil.copyfile(path, folder / path.name)
    with Weights(source.folder, adapter) as weights, (folder / "model.safetensors").open("wb") as file:
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        total = 0
        for name, one in weights.stored.items():
            kind = one.dtype if one.dtype in _WIDTHS else "F32"
            size = math.prod(one.shape) * _WIDTHS[kind]
            header[name] = {"dtype": kind, "shape": one.shape, "data_offsets": (total, total + size)}
            total += size
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        file.write(len(text).to_bytes(8, "little") + text)
        done = 0
        for name in weights.stored:
            for rows in weights.pieces(name):
                packed = _packed(rows, header[name]["dtype"])
                file.write(packed)
                done += len(packed)
                told(done / total)


def _packed(rows: np.ndarray[Any, Any], kind: str) -> bytes:
    import numpy as np

    gguf = gguf_library()
    packed: bytes = gguf.quants.quantize(np.ascontiguousarray(rows), gguf.GGMLQuantizationType[kind]).tobytes()
    return packed
