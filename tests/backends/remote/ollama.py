"""What a real Ollama answers, by its API documentation: three models, one of them loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.fault_server import FaultServer, Play, fault_server


def _tag(name: str, size: int, family: str, parameters: str, quantization: str) -> dict[str, Any]:
    return {
        "name": name, "model": name, "modified_at": "2026-08-21T10:00:00Z", "size": size, "digest": "0" * 64,
        "details": {
            "parent_model": "", "format": "gguf", "family": family, "families": [family],
            "parameter_size": parameters, "quantization_level": quantization,
        },
    }  # fmt: skip


TAGS = [
    _tag("lfm2.5:1.2b", 730_895_360, "lfm2", "1.17B", "Q4_K_M"),
    _tag("llama3.2:latest", 2_019_393_189, "llama", "3.2B", "Q4_K_M"),
    _tag("all-minilm:latest", 45_960_996, "bert", "23M", "F16"),
]
SHOWN = {
    "lfm2.5:1.2b": {
        "parameters": "", "model_info": {"lfm2.context_length": 128000}, "capabilities": ["completion", "tools"],
    },
    "llama3.2:latest": {
        "parameters": 'num_ctx                        4096\nstop                           "<|eot_id|>"',
        "model_info": {"llama.context_length": 131072}, "capabilities": ["completion", "tools"],
    },
    "all-minilm:latest": {"model_info": {"bert.context_length": 512}, "capabilities": ["embedding"]},
}  # fmt: skip


@contextmanager
def ollama(*plays: Play, tags: list[dict[str, Any]] | None = None) -> Iterator[FaultServer]:
    tags = TAGS if tags is None else tags
    listed = [{"id": one["name"], "object": "model", "created": 1, "owned_by": "library"} for one in tags]
    with fault_server(*plays, models=listed) as server:
        server.pages["/api/version"] = (200, {"version": "0.12.3"})
        server.pages["/api/tags"] = (200, {"models": tags})
        server.pages["/api/ps"] = (200, {"models": [{"name": "lfm2.5:1.2b", "context_length": 8192}]})
        server.shows = SHOWN
        yield server
