"""A server and its models in a notebook."""

from __future__ import annotations

from ...markup import bundle, escape, facts, grid, heading
from ...units import format_bytes
from .server import Server


def server_bundle(server: Server) -> dict[str, str]:
    """What it is, and a line for each model."""
    rows = [
        (
            escape(one.id),
            escape(", ".join(fact for fact in (one.parameters, one.quantization) if fact)),
            escape(format_bytes(one.bytes)) if one.bytes else "",
            str(one.context or ""),
        )
        for one in server.models
    ]
    shown = grid(("model", "form", "size", "context"), rows) if rows else facts([("models", "none that it tells of")])
    title = f"{server.name} {server.version}".strip()
    return bundle(str(server), heading(title, f"at {server.url}"), shown)
