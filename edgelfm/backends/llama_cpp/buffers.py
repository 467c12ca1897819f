"""What llama.cpp says it allocated, read from the log of a load."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..base import Memory

_MIB = 1024**2
_LINE = re.compile(
    r"(?P<what>model buffer|LoRA buffer|compute buffer|output buffer|KV buffer|RS buffer) size =\s*(?P<mib>[\d.]+) MiB"
)


def parse(lines: Iterable[str]) -> Memory:
    """Sum the buffer lines of all devices. Bytes, as exact as the two decimals of a MiB that llama.cpp prints."""
    kinds = ("model buffer", "LoRA buffer", "compute buffer", "output buffer", "KV buffer", "RS buffer")
    sums = dict.fromkeys(kinds, 0.0)
    for line in lines:
        match = _LINE.search(line)
        if match:
            sums[match["what"]] += float(match["mib"])
    return Memory(
        weights=round((sums["model buffer"] + sums["LoRA buffer"]) * _MIB),
        kv=round(sums["KV buffer"] * _MIB),
        conv=round(sums["RS buffer"] * _MIB),
        compute=round(sums["compute buffer"] * _MIB),
        output=round(sums["output buffer"] * _MIB),
    )
