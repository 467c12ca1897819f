"""Whether the weights of a folder are whole, judged by names, sizes and headers before anything is mapped.

MLX maps weights and reads them later; a file that is shorter than its header says would be found out in the middle of
a computation. This module reads no weights and does not know what they are for.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from ..errors import ModelFileError

_LONGEST_HEADER = 100 * 1024**2  # bytes; the limit of the safetensors library
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip


def require_whole(folder: Path) -> None:
    """Return if all weights that belong to the model are there in full. Raises `ModelFileError`."""
    found = sorted(folder.glob("model*.safetensors"))  # the names mlx-lm looks for
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        missing = _listed(index) - {path.name for path in found}
        if missing:
            _refuse(index, f"lists files that are not there: {', '.join(sorted(missing))}")
    if not found:
        _refuse(folder, "holds no model*.safetensors")
    for path in found:
        _check(path)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises `ModelFileError` if there is none."""
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        _refuse(path, "is not there")
    except (OSError, ValueError, RecursionError) as error:
        _refuse(path, f"cannot be read: {error}")
    if not isinstance(values, dict):
        _refuse(path, "is not a JSON object")
    return values


def _listed(index: Path) -> set[str]:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        _refuse(index, "has no weight_map")
    return set(names.values())


def _check(path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _LONGEST_HEADER):
            _refuse(path, f"has {size} bytes and no complete header")
        try:
            tensors = json.loads(file.read(length))
        except (ValueError, RecursionError) as error:
            _refuse(path, f"has a broken header: {error}")
    if not isinstance(tensors, dict):
        _refuse(path, "has a header that is no table of tensors")
    tensors.pop("__metadata__", None)
    stored = size - 8 - length
    ends = [_end(path, name, tensor) for name, tensor in tensors.items()]
    if max(ends, default=0) != stored:
        _refuse(path, f"is truncated or overlong: its header speaks of {max(ends, default=0)} bytes, {stored} follow")


def _end(path: Path, name: str, tensor: Any) -> int:
    """Where a tensor ends, in bytes after the header."""
    try:
        bits, shape, (begin, end) = _BITS[tensor["dtype"]], tensor["shape"], tensor["data_offsets"]
        sound = all(type(number) is int and number >= 0 for number in (*shape, begin, end))
    except (KeyError, TypeError, ValueError) as error:
        _refuse(path, f"describes {name[:80]!r} in a way that cannot be read: {error!r}")
    if not sound or end - begin != math.prod(shape) * bits // 8:
        _refuse(path, f"says that {name[:80]!r} has the shape {shape} and lies in bytes {begin} to {end}")
    return int(end)


def _refuse(path: Path, reason: str) -> NoReturn:
    raise ModelFileError(f"{path} {reason}", hint="download the model again: `edgelfm pull <model>`")
