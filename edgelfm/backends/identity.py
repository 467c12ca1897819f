"""Which weights these are: enough of a file to tell it from every other, read in milliseconds."""

from __future__ import annotations

import hashlib
from pathlib import Path

_SAMPLES = 256  # places in the file, evenly spread; two fine-tunes of one model differ in all of them
_SAMPLE_BYTES = 4096


def fingerprint(path: Path) -> str:
    """A digest of the size of the file and of samples of it. A whole digest would read gigabytes."""
    size = path.stat().st_size
    digest = hashlib.blake2b(size.to_bytes(8, "little"), digest_size=16)
    with path.open("rb") as file:
        for number in range(_SAMPLES):
            file.seek(max(0, size - _SAMPLE_BYTES) * number // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()
