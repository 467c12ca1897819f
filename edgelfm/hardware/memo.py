"""Answers that are costly to get and hold for long, kept as small JSON files in the cache folder.

A memo is valid while its key is unchanged. A cache that cannot be read or written is only slow: the reason is returned
or ends in a miss, never an error.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from ..paths import cache_folder


def recall(name: str, key: list[str]) -> Any | None:
    """The value kept under `name` if it was kept for the same `key`, else None."""
    try:
        kept = json.loads(_path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return kept.get("value") if isinstance(kept, dict) and kept.get("key") == key else None


def keep(name: str, key: list[str], value: Any) -> str | None:
    """Keep a JSON value. Returns why it could not be kept, or None."""
    path = _path(name)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({"key": key, "value": value}), encoding="utf-8")
        os.replace(temporary, path)  # other processes see the old file or the new one, never a part
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        return f"{path}: {error.strerror or error}"
    return None


def _path(name: str) -> Path:
    return cache_folder() / "hardware" / f"{name}.json"
