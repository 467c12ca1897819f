"""Reading and writing quantities. Inside edgelfm memory is in bytes and speed in tokens or bytes per second."""

from __future__ import annotations

import re

from .errors import RequestError

KIB = 1024
MIB = 1024**2
GIB = 1024**3

_FACTORS = {
    "": 1, "b": 1,
    "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "g": 10**9, "gb": 10**9, "t": 10**12, "tb": 10**12,
    "kib": KIB, "mib": MIB, "gib": GIB, "tib": 1024**4,
}  # fmt: skip
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", re.IGNORECASE)


def parse_bytes(text: str | int) -> int:
    """Read `"1.5 GiB"`, `"800 MB"` or a plain number as bytes. Raises `RequestError` for anything else."""
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return text
    match = _SIZE.fullmatch(text) if isinstance(text, str) else None
    factor = _FACTORS.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise RequestError(
            f"{text!r} is not an amount of memory", hint="write a number and a unit, such as '1.5 GiB' or '800 MB'"
        )
    return round(float(match[1]) * factor)


def format_bytes(count: float) -> str:
    """Write bytes for people, in binary units: `1.46 GiB`, `88 MiB`, `12 KiB`."""
    sign, count = ("-", -count) if count < 0 else ("", count)
    if count < KIB:
        return f"{sign}{count:.0f} B"
    for unit, size in (("KiB", KIB), ("MiB", MIB)):
        if count / size < 1000:
            value = count / size
            return f"{sign}{value:.1f} {unit}" if value < 10 else f"{sign}{value:.0f} {unit}"
    return f"{sign}{count / GIB:.2f} GiB"


def size_text(count: int) -> str | int:
    """Bytes as `parse_bytes` reads them back to the byte: `"1.5 GiB"`, `"768 MiB"`, or the number itself."""
    for unit, size in (("GiB", GIB), ("MiB", MIB)):
        text = f"{count / size:.3f}".rstrip("0").rstrip(".") + f" {unit}"
        if count >= size and parse_bytes(text) == count:
            return text
    return count


def format_rate(bytes_per_second: float) -> str:
    """Write bytes per second for people, in decimal units as data sheets do: `31.6 GB/s`, `1.01 TB/s`."""
    if bytes_per_second < 999.5e9:
        return f"{bytes_per_second / 1e9:.3g} GB/s"
    return f"{bytes_per_second / 1e12:.3g} TB/s"


def round_up(value: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is at least `value`."""
    return -(-value // multiple) * multiple


def format_seconds(seconds: float) -> str:
    """Write a duration for people: `85 ms`, `1.2 s`, `3 min 20 s`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
