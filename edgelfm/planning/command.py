"""What to type to get one candidate again."""

from __future__ import annotations

import json

from ..models.entry import Artifact, ModelEntry
from ..units import size_text
from .plan import Request


def load_command(entry: ModelEntry, artifact: Artifact, context: int, request: Request) -> str:
    """What to type to get exactly this. What the request left open is decided again as it was here."""
    given: dict[str, object] = {
        "backend": artifact.backend,
        "quantization": artifact.quantization,
        "context": context,
        "memory": size_text(request.memory_bytes) if request.memory_bytes is not None else None,
        "kv_type": request.kv_type,
        "threads": request.threads,
        "micro_batch": request.micro_batch,
        "adapter": request.adapter.where if request.adapter is not None else None,
    }
    named = [f"{name}={_literal(value)}" for name, value in given.items() if value is not None]
    return f"edgelfm.load({', '.join([_literal(artifact.path or entry.id), *named])})"


def _literal(value: object) -> str:
    """As Python reads it; strings in double quotes."""
    return json.dumps(value, ensure_ascii=False)
