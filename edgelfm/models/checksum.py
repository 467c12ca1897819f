"""The hash of bytes that arrive piece by piece, against the one that a hub publishes as a file's ETag.

Large files are named by their sha256, small ones as git does it: sha1 over `blob <length>`, a zero byte, the content.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any


class Checksum:
    """One running hash. `sha256` counts where the ETag is no hash of the content that we know."""

    def __init__(self, etag: str, length: int | None, sha256: str | None = None) -> None:
        self._hash: Any = None
        self._wanted = ""
        if re.fullmatch(r"[0-9a-f]{64}", etag):
            self._hash, self._wanted = hashlib.sha256(), etag
        elif sha256:
            self._hash, self._wanted = hashlib.sha256(), sha256
        elif re.fullmatch(r"[0-9a-f]{40}", etag) and length is not None:
            self._hash, self._wanted = hashlib.sha1(b"blob %d\0" % length, usedforsecurity=False), etag

    def add(self, piece: bytes | memoryview) -> None:
        """The next bytes."""
        if self._hash is not None:
            self._hash.update(piece)

    def fits(self) -> bool:
        """Whether the hash is the published one; True where none was published."""
        return self._hash is None or self._hash.hexdigest() == self._wanted

    def difference(self) -> str:
        """Both hashes, for people."""
        if self._hash is None:
            return "no hash was published"
        return f"their {self._hash.name} is {self._hash.hexdigest()} and not {self._wanted}"
