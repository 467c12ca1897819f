"""LFM2 and any other causal language model that transformers knows by itself, through PyTorch: CPU, CUDA, MPS."""

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
    from .loading import load
    from .session import TransformersSession

    weights, settings = files["weights"], candidate.settings
    loaded = load(
        weights if weights.is_dir() else weights.parent,
        progress,
        device=settings.device.value if settings.device else None,
        # What nobody knew as it was planned is decided as it is loaded. It only ever takes less memory then.
        dtype=settings.dtype.value if settings.dtype and settings.dtype.grade != "unknown" else None,
        quantization=candidate.quantization,
        adapter=files.get("adapter"),
    )
    return TransformersSession(loaded, settings)
