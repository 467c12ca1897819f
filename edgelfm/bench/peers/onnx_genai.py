"""onnxruntime-genai with the int4 graph that its own builder makes for the CPU."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Any

from .peer import FolderPeer, Written, serve_peer


class OnnxGenai(FolderPeer):
    """See the module."""

    name = "onnxruntime-genai"

    def prepare(self) -> None:
        """See `Peer`."""
        super().prepare()
        self._genai: Any = import_module("onnxruntime_genai")

    def open(self) -> None:
        """See `Peer`."""
        self._model = self._genai.Model(self.task.weights)

    def write(self, prompt: list[int], tokens: int) -> Written:
        """See `Peer`."""
        started = time.perf_counter()
        params = self._genai.GeneratorParams(self._model)
        length = len(prompt) + tokens  # at least as long as at most: end-of-text cannot be chosen before
        params.set_search_options(do_sample=False, min_length=length, max_length=length)
        generator = self._genai.Generator(self._model, params)
        generator.append_tokens(prompt)
        generator.generate_next_token()
        first = time.perf_counter()
        for _ in range(tokens - 1):
            generator.generate_next_token()
        return Written(first - started, time.perf_counter() - first)

    def version(self) -> str:
        """See `Peer`."""
        return version("onnxruntime-genai")

    def settings(self) -> Mapping[str, object]:
        """See `Peer`."""
        return {"provider": "CPU", "graph": "int4, by its builder"}

    def quantization(self) -> str:
        """See `Peer`."""
        return "int4"

    def note(self) -> str:
        """See `Peer`."""
        return f"the {self.task.quantization} weights, widened to bf16 and quantized again to its int4"


if __name__ == "__main__":
    serve_peer(OnnxGenai)
