"""`llama_decode` and a C sampler in a loop that does nothing else: the least that llama.cpp can cost from Python.

Opened with the settings of edgelfm's plan, through the same bindings. It makes no text, keeps no state and hears no
stop, so it is a limit rather than a rival.
"""

from __future__ import annotations

import ctypes
import functools
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from ...errors import BackendError
from .peer import Peer, Written, serve_peer


class BareLoop(Peer):
    """See the module."""

    name = "llama.cpp bare loop"

    def prepare(self) -> None:
        """See `Peer`."""
        import llama_cpp

        from ...backends.llama_cpp.library import repacks

        self._repacks = repacks()
        self._llama: Any = llama_cpp
        llama_cpp.llama_log_set(_silence(), ctypes.c_void_p())
        llama_cpp.llama_backend_init()
        self._model = self._context = self._sampler = None

    def open(self) -> None:
        """See `Peer`."""
        llama, chosen = self._llama, self.task.settings
        params = llama.llama_model_default_params()
        params.load_mode = llama.LLAMA_LOAD_MODE_MMAP if chosen["mmap"] else llama.LLAMA_LOAD_MODE_NONE
        params.n_gpu_layers, params.use_extra_bufts = chosen["gpu_layers"], self._repacks
        self._model = llama.llama_model_load_from_file(self.task.weights.encode(), params)
        if not self._model:
            raise BackendError("llama.cpp could not load the model")
        given = llama.llama_context_default_params()
        given.n_ctx, given.n_batch, given.n_ubatch = self.task.context, chosen["batch"], chosen["micro_batch"]
        given.n_threads, given.n_threads_batch = chosen["threads"], chosen["threads_prefill"]
        given.flash_attn_type, given.no_perf = int(chosen["flash_attention"]), True
        given.type_k = given.type_v = getattr(llama, f"GGML_TYPE_{chosen['kv_type'].upper()}")
        self._context = llama.llama_init_from_model(self._model, given)
        if not self._context:
            raise BackendError("llama.cpp could not make a context")
        self._sampler = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        llama.llama_sampler_chain_add(self._sampler, llama.llama_sampler_init_greedy())

    def close(self) -> None:
        """See `Peer`."""
        if self._context:
            self._llama.llama_sampler_free(self._sampler)
            self._llama.llama_free(self._context)
        if self._model:
            self._llama.llama_model_free(self._model)
        self._model = self._context = None

    def tokenize(self, text: str) -> Sequence[int]:
        """See `Peer`."""
        said = text.encode()
        ids = (ctypes.c_int32 * (len(said) + 1))()
        vocabulary = self._llama.llama_model_get_vocab(self._model)
        count = self._llama.llama_tokenize(vocabulary, said, len(said), ids, len(ids), False, False)
        return ids[:count]

    @property
    def bos(self) -> Sequence[int]:
        """See `Peer`."""
        token = self._llama.llama_vocab_bos(self._llama.llama_model_get_vocab(self._model))
        return (token,) if token >= 0 else ()

    def write(self, prompt: list[int], tokens: int) -> Written:
        """See `Peer`."""
        llama, context, sampler = self._llama, self._context, self._sampler
        started = time.perf_counter()
        llama.llama_memory_clear(llama.llama_get_memory(context), False)
        at_once = self.task.settings["batch"]
        for begin in range(0, len(prompt), at_once):
            part = prompt[begin : begin + at_once]
            ids = (ctypes.c_int32 * len(part))(*part)
            if status := llama.llama_decode(context, llama.llama_batch_get_one(ids, len(part))):
                raise BackendError(f"llama_decode gave status {status}")
        one = (ctypes.c_int32 * 1)()
        batch = llama.llama_batch_get_one(one, 1)
        one[0] = llama.llama_sampler_sample(sampler, context, -1)
        first = time.perf_counter()
        for _ in range(tokens - 1):
            llama.llama_decode(context, batch)
            one[0] = llama.llama_sampler_sample(sampler, context, -1)
        return Written(first - started, time.perf_counter() - first)

    def version(self) -> str:
        """See `Peer`."""
        return f"of llama-cpp-python {version('llama-cpp-python')}"

    def settings(self) -> Mapping[str, object]:
        """See `Peer`."""
        chosen = self.task.settings
        return {
            "context": self.task.context,
            "threads": chosen["threads"],
            "threads for prefill": chosen["threads_prefill"],
            "batch": chosen["batch"],
            "micro-batch": chosen["micro_batch"],
            "KV cache": chosen["kv_type"],
            "flash attention": "on" if chosen["flash_attention"] else "off",
            "mmap": "on" if chosen["mmap"] else "off",
        }

    def note(self) -> str:
        """See `Peer`."""
        return "makes no text and keeps no state: a limit, not a program"


@functools.cache  # llama.cpp calls it for as long as the process lives
def _silence() -> object:
    import llama_cpp

    heard: object = llama_cpp.llama_log_callback(lambda *_: None)
    return heard


if __name__ == "__main__":
    serve_peer(BareLoop)
