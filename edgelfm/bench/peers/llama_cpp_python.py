"""llama-cpp-python's own streaming, at its defaults or with the settings of edgelfm's plan."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, ClassVar

from .peer import Peer, Written, require_count, serve_peer

_PROBE = 16  # tokens


class LlamaCppPython(Peer):
    """`Llama(path)` and `create_completion(…, stream=True)`, as its README has it."""

    name = "llama-cpp-python"
    remembers = True  # what it recognises of the last prompt; the rest it evaluates again
    tuned: ClassVar[bool] = False

    def prepare(self) -> None:
        """See `Peer`."""
        import llama_cpp
        import llama_cpp.llama_cpp as functions

        from ...backends.llama_cpp import library

        library.repacks()  # else a build with broken AMX code would crash, and not only be slower
        functions.llama_vocab_is_eog = lambda *_: False  # the count of tokens must be exact
        self._make: Any = llama_cpp.Llama
        self._llama: Any = None
        self._streams: bool | None = None  # not known yet

    def open(self) -> None:
        """See `Peer`."""
        chosen = self.task.settings
        given: dict[str, Any] = {"n_gpu_layers": chosen["gpu_layers"]}
        if self.tuned:
            given |= {"n_threads": chosen["threads"], "n_threads_batch": chosen["threads_prefill"]}
            given |= {"n_batch": chosen["batch"], "n_ubatch": chosen["micro_batch"]}
            given |= {"flash_attn": chosen["flash_attention"], "use_mmap": chosen["mmap"]}
        self._llama = self._make(self.task.weights, n_ctx=self.task.context, verbose=False, **given)

    def close(self) -> None:
        """See `Peer`."""
        if self._llama is not None:
            self._llama.close()
            self._llama = None

    def tokenize(self, text: str) -> Sequence[int]:
        """See `Peer`."""
        ids: list[int] = self._llama.tokenize(text.encode(), add_bos=False)
        return ids

    @property
    def bos(self) -> Sequence[int]:
        """See `Peer`."""
        token = self._llama.token_bos()
        return (token,) if token >= 0 else ()

    def forget(self) -> None:
        """See `Peer`."""
        self._llama.reset()

    def write(self, prompt: list[int], tokens: int) -> Written:
        """See `Peer`."""
        if tokens > 1 and self._streams is None:
            self._streams = self._writes_text(prompt[:_PROBE])
            self.forget()
        if self._streams is False or (written := self._stream(prompt, tokens)) is None:
            written = self._generate(prompt, tokens)
        return written

    def version(self) -> str:
        """See `Peer`."""
        return version("llama-cpp-python")

    def settings(self) -> Mapping[str, object]:
        """See `Peer`."""
        context = self._llama.context_params
        return {
            "context": context.n_ctx,
            "threads": int(context.n_threads),
            "threads for prefill": context.n_threads_batch,
            "batch": context.n_batch,
            "micro-batch": context.n_ubatch,
            "flash attention": {-1: "auto", 0: "off", 1: "on"}.get(int(context.flash_attn_type), "?"),
            "mmap": "on" if not self.tuned or self.task.settings["mmap"] else "off",
        }

    def note(self) -> str:
        """See `Peer`."""
        return "" if self.tuned else "at its defaults"

    def _stream(self, prompt: list[int], tokens: int) -> Written | None:
        """None if it wrote past the end, which it does while characters are broken."""
        started, first, held = time.perf_counter(), 0.0, 0
        for _ in self._llama.create_completion(prompt, stream=True, temperature=0.0, max_tokens=tokens):
            if not first:
                # Text may be held back until its bytes are whole; by then more than one token has been sampled.
                first, held = time.perf_counter(), max(0, self._llama.n_tokens - len(prompt))
        ended = time.perf_counter()
        if (count := self._llama.n_tokens - len(prompt) + 1) > tokens:
            self._streams = False
            self.forget()
            return None
        require_count(self, count, tokens)
        # What was held back is missing in the time of the rest and is added at its own pace.
        rest = (ended - first) * (tokens - 1) / (tokens - 1 - held) if tokens - 1 > held else 0.0
        return Written(first - started, rest)

    def _generate(self, prompt: list[int], tokens: int) -> Written:
        started = time.perf_counter()
        written = self._llama.generate(prompt, temp=0.0, repeat_penalty=1.0)
        next(written)
        first = time.perf_counter()
        for _ in range(tokens - 1):
            next(written)
        return Written(first - started, time.perf_counter() - first)

    def _writes_text(self, prompt: list[int]) -> bool:
        """Whether the model writes whole characters.

        One with random weights does not, and then the streaming holds the text back and walks over all of it for every
        token: a quadratic cost that no real model has.
        """
        pieces = [
            piece["choices"][0]["text"]
            for piece in self._llama.create_completion(prompt, stream=True, temperature=0.0, max_tokens=_PROBE)
        ]
        return "\ufffd" not in "".join(pieces) and len(pieces) > _PROBE // 2


if __name__ == "__main__":
    serve_peer(LlamaCppPython)
