"""LFM2 and any other GGUF through llama.cpp, on the low-level bindings of llama-cpp-python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ...models.entry import Role
from ..base import Progress, Session

if TYPE_CHECKING:
    from ...planning.plan import Candidate


def open_session(candidate: Candidate, files: Mapping[Role, Path], progress: Progress | None = None) -> Session:
    """Load `files["weights"]` as `candidate.settings` say. See `backends.base.Backend`."""
    from .loading import load
    from .session import LlamaSession

    return LlamaSession(load(files["weights"], candidate.settings, progress, files.get("adapter")))
