"""LFM2 and other models as ONNX graphs, through ONNX Runtime: on CPUs, GPUs and NPUs by whatever provider is installed.

Two layouts are read: the repositories that Liquid AI publishes (`onnx/model_q4.onnx`, the tokenizer above it), and the
folders of onnxruntime-genai (`genai_config.json`). Both run in the same loop on plain onnxruntime. The generator of
onnxruntime-genai is not used: it cannot take LFM2 back to an earlier place, so nothing could be edited or regenerated
without evaluating the whole conversation again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ...models.entry import Role
from ..base import Progress, Session

if TYPE_CHECKING:
    from ...planning.plan import Candidate


def open_session(candidate: Candidate, files: Mapping[Role, Path], progress: Progress | None = None) -> Session:
    """Load the graph of `files["weights"]` as `candidate.settings` say. See `backends.base.Backend`."""
    from .loading import load
    from .session import OnnxSession

    return OnnxSession(load(files["weights"], candidate.settings, candidate.quantization, progress))
