"""transformers: `AutoModelForCausalLM` in bf16 and `generate` with a streamer, on the best device torch has here."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Any

from .peer import FolderPeer, Written, require_count, serve_peer


class Transformers(FolderPeer):
    """See the module."""

    name = "transformers"

    def prepare(self) -> None:
        """See `Peer`."""
        super().prepare()
        self._torch: Any = import_module("torch")
        transformers: Any = import_module("transformers")
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self._class: Any = transformers.AutoModelForCausalLM
        self._device = (
            "cuda" if self._torch.cuda.is_available() else "mps" if self._torch.backends.mps.is_available() else "cpu"
        )

    def open(self) -> None:
        """See `Peer`."""
        model = self._class.from_pretrained(self.task.weights, dtype=self._torch.bfloat16, local_files_only=True)
        self._model = model.to(self._device).eval()
        for name in ("eos_token_id", "bos_token_id", "pad_token_id"):
            setattr(model.generation_config, name, None)  # nothing ends a text

    def write(self, prompt: list[int], tokens: int) -> Written:
        """See `Peer`."""
        heard = _Heard()
        started = time.perf_counter()
        ids = self._torch.tensor([prompt], device=self._device)
        self._model.generate(ids, max_new_tokens=tokens, do_sample=False, streamer=heard)
        require_count(self, len(heard.times), tokens)
        return Written(heard.times[0] - started, heard.times[-1] - heard.times[0])

    def version(self) -> str:
        """See `Peer`."""
        return f"{version('transformers')} with torch {version('torch')}"

    def settings(self) -> Mapping[str, object]:
        """See `Peer`."""
        return {"device": self._device, "threads": int(self._torch.get_num_threads()), "dtype": "bfloat16"}

    def quantization(self) -> str:
        """See `Peer`."""
        return "bf16"

    def note(self) -> str:
        """See `Peer`."""
        return f"the {self.task.quantization} weights, widened to bf16"


class _Heard:
    """A streamer that notes when each token comes. The first thing it is given is the prompt."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._began = False

    def put(self, value: object) -> None:
        """Called by `generate`."""
        if self._began:
            self.times.append(time.perf_counter())
        self._began = True

    def end(self) -> None:
        """Called by `generate`."""


if __name__ == "__main__":
    serve_peer(Transformers)
