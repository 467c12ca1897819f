"""LFM2 and whatever else mlx-lm has a module for, through MLX: on the GPU of Apple silicon, on the CPU of Linux."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ...models.entry import Role
from ..base import Progress, Session

if TYPE_CHECKING:
    from ...planning.plan import Candidate


def open_session(candidate: Candidate, files: Mapping[Role, Path], progress: Progress | None = None) -> Session:
    """Load the folder of `files["weights"]` as `candidate.settings` say. See `backends.base.Backend`."""
    from . import limits
    from .library import library
    from .loading import load
    from .session import MlxSession

    limits.apply(library(), candidate.memory.total)
    weights = files["weights"]
    folder = weights if weights.is_dir() else weights.parent
    return MlxSession(load(folder, progress, files.get("adapter")), candidate.settings)
