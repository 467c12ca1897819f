"""An importance matrix for llama.cpp's quantizer: how much each input of each matrix matters, seen on a text.

Reads both forms that llama-imatrix writes: GGUF with sums of squares, and the older `.dat`. Writes the first, with what
`calibrating` computes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import ModelFileError
from .naming import gguf_library

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_SUMS, _COUNTS = ".in_sum2", ".counts"
_LONGEST_NAME = 4096  # bytes


def read_imatrix(path: Path) -> dict[str, Array]:
    """Name of a tensor, to one weight an input as f32, one expert after another. Raises `ModelFileError`."""
    if not path.is_file():
        _refuse(path, "is not a file")
    with path.open("rb") as file:
        magic = file.read(4)
    found = _read_gguf(path) if magic == b"GGUF" else _read_dat(path)
    if not found:
        _refuse(path, "holds no importances")
    return found


def write_imatrix(path: Path, found: Mapping[str, tuple[Array, Array]], text: str, pieces: int, tokens: int) -> None:
    """Write sums of squares (expert x input) and counts (one an expert) of each matrix, as llama-imatrix does.

    `text` says what was read, in `pieces` of at most so many `tokens`. Keys: llama.cpp's tools/imatrix/imatrix.cpp.
    """
    import numpy as np

    writer = gguf_library().GGUFWriter(path, "")
    try:
        writer.add_type("imatrix")
        writer.add_array("imatrix.datasets", [text])
        writer.add_uint32("imatrix.chunk_count", pieces)
        writer.add_uint32("imatrix.chunk_size", tokens)
        for name, (sums, counts) in sorted(found.items()):
            writer.add_tensor(name + _SUMS, sums.astype(np.float32))
            writer.add_tensor(name + _COUNTS, counts.astype(np.float32).reshape(-1, 1))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _read_gguf(path: Path) -> dict[str, Array]:
    import numpy as np

    from ..models.gguf import read_header

    read_header(path)  # which trusts no number in it, as the library's reader does
    tensors = {one.name: np.array(one.data, np.float32) for one in gguf_library().GGUFReader(path).tensors}
    found = {}
    for name, sums in tensors.items():
        if not name.endswith(_SUMS):
            continue
        counts = tensors.get(name.removesuffix(_SUMS) + _COUNTS)
        if counts is None or counts.size == 0 or sums.size % counts.size:
            _refuse(path, f"does not say how often {name.removesuffix(_SUMS)} was seen")
        counts = counts.reshape(-1, 1)
        sums = sums.reshape(len(counts), -1)
        # An expert that never had its turn: all inputs matter the same.
        means = np.where(counts > 0, sums / np.maximum(counts, 1), 1.0)
        found[name.removesuffix(_SUMS)] = means.astype(np.float32).reshape(-1)
    return found


def _read_dat(path: Path) -> dict[str, Array]:
    """Count of entries; for each the length of the name, the name, calls, count of values, sums as f32."""
    import numpy as np

    data, found, at = path.read_bytes(), {}, 4
    try:
        (count,) = struct.unpack_from("<i", data)
        for _ in range(count):
            (length,) = struct.unpack_from("<i", data, at)
            if not 0 < length <= _LONGEST_NAME:
                raise ValueError(f"a name of {length} bytes")
            name = data[at + 4 : at + 4 + length].decode()
            calls, values = struct.unpack_from("<ii", data, at + 4 + length)
            at += 12 + length
            sums = np.frombuffer(data, "<f4", values, at)
            at += 4 * values
            found[name] = (sums / max(calls, 1)).astype(np.float32)
    except (struct.error, ValueError) as error:
        _refuse(path, f"is neither GGUF nor whole: {error}")
    return found


def _refuse(path: Path, reason: str) -> NoReturn:
    raise ModelFileError(
        f"the importance matrix {path} {reason}", hint="have one computed: --calibrate FILE, with a text"
    )
