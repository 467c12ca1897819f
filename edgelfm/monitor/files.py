"""Small files of /sys and /proc, read under a root so that a recorded machine can stand in. Nothing here raises.

Reading is kept cheap, because some of it is done several times a second on small boards.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path("/")
_LIMIT = 1024**2  # bytes
_CHUNK = 64 * 1024
_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0)
_NUMBER = re.compile(r"-?\d{1,19}", re.ASCII)


def read_text(root: Path, path: str) -> str | None:
    """The text of a file, stripped. None if it is not there, may not be read, or answers with an error."""
    try:
        # Not through pathlib and a buffered file: that takes several times as long as the kernel does.
        file = os.open(path if root is ROOT else f"{root}/{path.lstrip('/')}", _FLAGS)
        try:
            content = os.read(file, _CHUNK)
            while content and len(content) < _LIMIT and (more := os.read(file, _CHUNK)):
                content += more
        finally:
            os.close(file)
    except OSError:  # drivers say ENODATA, EIO, EAGAIN and more for "not now"
        return None
    return content.decode("utf-8", "replace").strip("\0 \t\r\n")


def read_int(root: Path, path: str) -> int | None:
    """A file that holds one whole number, or None."""
    text = read_text(root, path)
    return int(text) if text is not None and _NUMBER.fullmatch(text) else None


def find(root: Path, pattern: str) -> list[str]:
    """Paths that match, as seen from the root; numbers in them sort as numbers."""
    try:
        found = ["/" + path.relative_to(root).as_posix() for path in root.glob(pattern.lstrip("/"))]
    except OSError:
        return []
    return sorted(found, key=lambda path: [(len(part), part) for part in re.split(r"(\d+)", path)])
