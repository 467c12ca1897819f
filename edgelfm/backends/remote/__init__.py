"""Models that another program serves: Ollama, vLLM, llama-server, LM Studio, whatever speaks the OpenAI protocol.

`discover` finds such programs on this machine in milliseconds. A `RemoteSession` sends messages, not tokens, and gives
the same `Token` events as a session that runs here.
"""

from __future__ import annotations

from .discovery import discover
from .server import ServedModel, Server

__all__ = ["ServedModel", "Server", "discover"]
