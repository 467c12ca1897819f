"""Reads the header of a GGUF file: its metadata and where its tensors lie, and not one weight.

Works on a file or on anything that gives bytes by range, and asks for no more than it needs. A header comes from
strangers, so every count, length and offset is checked before it is believed: whatever is wrong is a `ModelFileError`
that names the file, and never memory taken on a stranger's word. The rules are those of the format's specification
(github.com/ggml-org/ggml/blob/master/docs/gguf.md) and, where llama.cpp is stricter, of its gguf.cpp. What the numbers
mean for a model is `from_header`'s business.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NoReturn

from ..errors import ModelFileError
from ..units import format_bytes, round_up
from .bytesource import ByteSource, FileBytes, Window
from .ggml import BY_ID, Tensor, tensor_bytes

MAX_ENTRIES = 65_536  # of metadata, and as many tensors; the largest published models have a few thousand
MAX_KEY_BYTES = 65_535  # as the specification has it
MAX_STRING_BYTES = 4 * 1024**2  # chat templates are the longest strings, some tens of KiB
MAX_ARRAY = 4 * 1024**2  # the largest vocabularies have some 300,000 tokens and twice as many merges
MAX_HEADER_BYTES = 64 * 1024**2  # theirs take some 20 MiB
MAX_NAME_BYTES = 63  # GGML_MAX_NAME less its closing zero
MAX_DIMENSIONS = 4
MAX_ELEMENTS = 2**48
KEPT_ARRAY = 4096  # longer arrays are skipped unless asked for
DEFAULT_ALIGNMENT = 32

_SCALARS = {
    0: ("uint8", "<B"), 1: ("int8", "<b"), 2: ("uint16", "<H"), 3: ("int16", "<h"), 4: ("uint32", "<I"),
    5: ("int32", "<i"), 6: ("float32", "<f"), 7: ("bool", "<B"), 10: ("uint64", "<Q"), 11: ("int64", "<q"),
    12: ("float64", "<d"),
}  # fmt: skip
_BOOL, _STRING, _ARRAY = 7, 8, 9
_HINT = "use another file; this one is corrupt or was made to do harm"


@dataclass(frozen=True, slots=True)
class Skipped:
    """An array that was counted and not kept."""

    count: int


Scalar = int | float | bool | str
Value = Scalar | tuple[Scalar, ...] | Skipped


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a GGUF file says about itself."""

    name: str  # for messages: a path, or repository and file
    version: int
    metadata: dict[str, Value]
    tensors: tuple[Tensor, ...]  # offsets from `data_offset`
    data_offset: int  # bytes before the first tensor
    alignment: int

    @property
    def file_bytes_expected(self) -> int:
        """The least size of the whole file: up to the last byte of its last tensor."""
        return self.data_offset + max((tensor.offset + tensor.bytes for tensor in self.tensors), default=0)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all tensors, without the padding between them."""
        return sum(tensor.bytes for tensor in self.tensors)

    def text(self, key: str) -> str:
        """The string at `key`, or an empty one."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else ""


def read_header(source: Path | str | ByteSource, *, keep: Collection[str] = ()) -> GgufHeader:
    """Read the header of `source`. `keep` names long arrays to keep, such as `tokenizer.ggml.tokens`.

    Raises `ModelFileError` for anything that is not a whole and sound GGUF file, and what the source raises.
    """
    if isinstance(source, (Path, str)):
        with FileBytes(Path(source)) as file:
            return _Reader(file, keep).header()
    return _Reader(source, keep).header()


class _Reader:
    """One pass over a header. `at` never goes back."""

    def __init__(self, source: ByteSource, keep: Collection[str]) -> None:
        self.name = source.name
        self.size = source.size
        self.window = Window(source)
        self.keep = keep
        self.at = 0

    def header(self) -> GgufHeader:
        version = self._opening()
        tensor_count = self._count("tensors", MAX_ENTRIES, least=24)
        metadata_count = self._count("metadata entries", MAX_ENTRIES, least=13)
        metadata: dict[str, Value] = {}
        for _ in range(metadata_count):
            key = self._string("a metadata key", MAX_KEY_BYTES)
            if not key:
                self._refuse("a metadata key is empty")
            if key in metadata:
                self._refuse(f"metadata key {key!r} is given twice")
            metadata[key] = self._value(key, self._number("<I"))
        alignment = self._alignment(metadata)
        tensors = self._tensors(tensor_count, alignment)
        header = GgufHeader(self.name, version, metadata, tensors, round_up(self.at, alignment), alignment)
        if self.size is not None and self.size < header.file_bytes_expected:
            self._refuse(
                f"the file is truncated: it has {self.size} bytes ({format_bytes(self.size)}) and its header promises "
                f"{header.file_bytes_expected} ({format_bytes(header.file_bytes_expected)})",
                hint="download it again",
            )
        return header

    def _opening(self) -> int:
        if self.size == 0:
            self._refuse("the file is empty", hint="download it again")
        magic = self._take(4)
        if magic != b"GGUF":
            self._refuse(f"this is not a GGUF file: it begins with {magic!r}", hint="give a file that ends in .gguf")
        version: int = self._number("<I")
        if version & 0xFFFF == 0 and version:
            self._refuse("this GGUF file is for big-endian machines", hint="use the ordinary, little-endian file")
        if version not in (2, 3):
            self._refuse(f"GGUF version {version} is not known; 2 and 3 are")
        return version

    def _alignment(self, metadata: dict[str, Value]) -> int:
        alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
        if type(alignment) is not int or not 1 <= alignment <= 2**16 or alignment & (alignment - 1):
            self._refuse(f"general.alignment is {alignment!r}, not a power of two up to 65536")
        return alignment

    def _value(self, key: str, kind: int) -> Value:
        if kind == _ARRAY:
            return self._array(key)
        return self._scalar(key, kind)

    def _scalar(self, key: str, kind: int) -> Scalar:
        if kind == _STRING:
            return self._string(f"the text of {key!r}", MAX_STRING_BYTES)
        if kind not in _SCALARS:
            self._refuse(f"metadata key {key!r} has the unknown type {kind}")
        value: int | float = self._number(_SCALARS[kind][1])
        if kind == _BOOL:
            if value not in (0, 1):
                self._refuse(f"metadata key {key!r} is a truth value of {value}")
            return bool(value)
        return value

    def _array(self, key: str) -> tuple[Scalar, ...] | Skipped:
        kind = self._number("<I")
        if kind == _ARRAY:
            self._refuse(f"metadata key {key!r} is an array of arrays, which GGUF readers do not take")
        if kind != _STRING and kind not in _SCALARS:
            self._refuse(f"metadata key {key!r} is an array of the unknown type {kind}")
        width = 8 if kind == _STRING else struct.calcsize(_SCALARS[kind][1])
        count = self._count(f"values of {key!r}", MAX_ARRAY, least=width)
        if count <= KEPT_ARRAY or key in self.keep:
            return tuple(self._scalar(key, kind) for _ in range(count))
        if kind == _STRING:
            self._skip_strings(key, count)
        else:
            self._skip(count * width)
        return Skipped(count)

    def _skip_strings(self, key: str, count: int) -> None:
        # The hot loop: a vocabulary and its merges are some 130,000 strings. Only their lengths are read.
        unpack, window, at = struct.Struct("<Q").unpack_from, self.window, self.at
        for _ in range(count):
            if at + 8 > window.end or at < window.start:
                window.cover(at, 8, self._ended)
            (length,) = unpack(window.data, at - window.start)
            if length > MAX_STRING_BYTES:
                self._refuse(f"a text in {key!r} claims {length} bytes")
            at += 8 + length
        self.at = at
        self._check_reach()

    def _tensors(self, count: int, alignment: int) -> tuple[Tensor, ...]:
        tensors: list[Tensor] = []
        names: set[str] = set()
        expected = 0
        for _ in range(count):
            name = self._string("a tensor's name", MAX_NAME_BYTES)
            if not name or name in names:
                self._refuse(f"tensor {name!r} is given twice" if name else "a tensor has no name")
            names.add(name)
            shape = self._shape(name)
            kind = BY_ID.get(self._number("<I"))
            if kind is None:
                self._refuse(f"tensor {name!r} is stored in a type that is not known here")
            if shape[0] % kind.block:
                self._refuse(f"tensor {name!r} has rows of {shape[0]} values, not whole blocks of {kind.name}")
            offset = self._number("<Q")
            if offset != expected:
                self._refuse(f"tensor {name!r} lies at {offset}, where {expected} would follow the one before it")
            size = tensor_bytes(shape, kind.name)
            expected = round_up(offset + size, alignment)
            tensors.append(Tensor(name, shape, kind.name, size, offset))
        return tuple(tensors)

    def _shape(self, name: str) -> tuple[int, ...]:
        dimensions = self._number("<I")
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            self._refuse(f"tensor {name!r} has {dimensions} dimensions; 1 to {MAX_DIMENSIONS} are allowed")
        shape = tuple(self._number("<Q") for _ in range(dimensions))
        if 0 in shape or prod(shape) > MAX_ELEMENTS:
            self._refuse(f"tensor {name!r} has the impossible shape {' x '.join(map(str, shape))}")
        return shape

    def _count(self, what: str, limit: int, *, least: int) -> int:
        """A count of things that take `least` bytes or more each."""
        count: int = self._number("<Q")
        if count > limit:
            self._refuse(f"the header claims {count} {what}; {limit} are allowed")
        if self.size is not None and count * least > self.size - self.at:
            self._refuse(f"the header claims {count} {what}, more than fit into the file's {self.size} bytes")
        return count

    def _string(self, what: str, limit: int) -> str:
        length: int = self._number("<Q")
        if length > limit:
            self._refuse(f"{what} claims {length} bytes; {limit} are allowed")
        raw = self._take(length)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            self._refuse(f"{what} is not UTF-8: {raw[:40]!r}")

    def _number(self, layout: str) -> Any:
        """An int or a float, as the layout says."""
        return struct.unpack(layout, self._take(struct.calcsize(layout)))[0]

    def _take(self, count: int) -> bytes:
        self.window.cover(self.at, count, self._ended)
        start = self.at - self.window.start
        self.at += count
        self._check_reach()
        return self.window.data[start : start + count]

    def _skip(self, count: int) -> None:
        self.at += count
        self._check_reach()

    def _check_reach(self) -> None:
        if self.size is not None and self.at > self.size:
            self._ended(self.at)
        if self.at > MAX_HEADER_BYTES:
            self._refuse(f"the header is larger than {format_bytes(MAX_HEADER_BYTES)}")

    def _ended(self, wanted: int) -> NoReturn:
        had = "" if self.size is None else f" after {self.size} bytes"
        self._refuse(f"the file ends{had} inside its header, which goes on to byte {wanted}", hint="download it again")

    def _refuse(self, message: str, *, hint: str = _HINT) -> NoReturn:
        raise ModelFileError(f"{self.name}: {message}", hint=hint)
