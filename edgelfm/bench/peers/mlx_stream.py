"""mlx-lm's `stream_generate`, on the GPU of a Mac or, where there is none, on the CPU.

On the CPU MLX multiplies f32 through BLAS and bf16 in a loop of its own that is many times slower, so there the weights
are widened once more. The bench says so.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Any

from .peer import FolderPeer, Written, require_count, serve_peer


class Mlx(FolderPeer):
    """See the module."""

    name = "mlx"

    def prepare(self) -> None:
        """See `Peer`."""
        super().prepare()
        self._core: Any = import_module("mlx.core")
        self._lm: Any = import_module("mlx_lm")
        self._tokenizer: Any = None
        self._gpu = self._core.default_device().type == self._core.DeviceType.gpu

    def open(self) -> None:
        """See `Peer`."""
        self._model, self._tokenizer = self._lm.load(self.task.weights)
        self._tokenizer.eos_token_ids = set()  # nothing ends a text
        if not self._gpu:
            self._model.set_dtype(self._core.float32)
            self._core.eval(self._model.parameters())

    def write(self, prompt: list[int], tokens: int) -> Written:
        """See `Peer`."""
        times = []
        started = time.perf_counter()
        for _ in self._lm.stream_generate(self._model, self._tokenizer, prompt, max_tokens=tokens):
            times.append(time.perf_counter())
        require_count(self, len(times), tokens)
        return Written(times[0] - started, times[-1] - times[0])

    def version(self) -> str:
        """See `Peer`."""
        return f"mlx-lm {version('mlx-lm')} with mlx {version('mlx')}"

    def settings(self) -> Mapping[str, object]:
        """See `Peer`."""
        return {"device": "GPU" if self._gpu else "CPU", "dtype": "bfloat16" if self._gpu else "float32"}

    def quantization(self) -> str:
        """See `Peer`."""
        return "bf16" if self._gpu else "f32"

    def note(self) -> str:
        """See `Peer`."""
        return f"the {self.task.quantization} weights, widened to {self.quantization()}"


if __name__ == "__main__":
    serve_peer(Mlx)
