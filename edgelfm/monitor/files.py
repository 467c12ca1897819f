"""Small files of /sys and /proc, read under a root so that a recorded machine can stand in. Nothing here raises."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path("/")
_LIMIT = 1024**2  # bytes


def read_text(root: Path, path: str) -> str | None:
    """The text of a file, stripped. None if it is not there, may not be read, or answers with an error."""
    try:
        with (root / path.lstrip("/")).open("rb") as file:
            return file.read(_LIMIT).decode("utf-8", "replace").strip("\0 \t\r\n")
    except OSError:  # drivers say ENODATA, EIO, EAGAIN and more for "not now"
        return None


def read_int(root: Path, path: str) -> int | None:
    """A file that holds one whole number, or None."""
    text = read_text(root, path)
    return int(text) if text is not None and re.fullmatch(r"-?\d{1,19}", text, re.ASCII) else None


def find(root: Path, pattern: str) -> list[str]:
    """Paths that match, as seen from the root; numbers in them sort as numbers."""
    try:
        found = ["/" + path.relative_to(root).as_posix() for path in root.glob(pattern.lstrip("/"))]
    except OSError:
        return []
    return sorted(found, key=lambda path: [(len(part), part) for part in re.split(r"(\d+)", path)])
