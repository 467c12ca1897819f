"""The fields of a message in protobuf's wire format: enough to look into a graph without the onnx package.

Knows no message types; see `graph` for those. The format is described at protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field, in order. Strings and messages are views. Raises `ValueError` if it is broken."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            raise ValueError(f"a field of the unknown kind {kind}")
        if size > end - at:
            raise ValueError(f"a field of {size:,} bytes, and {end - at:,} are left")
        yield number, message[at : at + size]
        at += size


def messages(message: memoryview, number: int) -> Iterator[memoryview]:
    """The fields of that number that hold bytes."""
    for found, value in fields(message):
        if found == number and isinstance(value, memoryview):
            yield value


def texts(message: memoryview, number: int) -> list[str]:
    """The fields of that number as text."""
    return [str(value, "utf-8", "replace") for value in messages(message, number)]


def encode(number: int, value: int | memoryview) -> bytes:
    """A field that is a number or holds bytes, as `fields` gave it. Those of fixed size are not among them."""
    if isinstance(value, int):
        return _as_varint(number << 3 | _VARINT) + _as_varint(value)
    return _as_varint(number << 3 | _BYTES) + _as_varint(len(value)) + value.tobytes()


def _as_varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("a number that does not end")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
