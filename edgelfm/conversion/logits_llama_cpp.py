"""Logits of all positions from llama.cpp, in a context made for that: a session's gives those of the last one."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..backends.llama_cpp.library import captured, library, repacks
from ..backends.llama_cpp.vocabulary import Vocabulary
from ..errors import BackendError

if TYPE_CHECKING:
    import numpy as np

    from .watching import Watch

    Array = np.ndarray[Any, Any]


class Evaluator:
    """A GGUF on the CPU, for pieces of text of at most `longest` tokens. Use it in a `with`. Raises `BackendError`."""

    def __init__(self, path: Path, longest: int, *, watch: Watch | None = None) -> None:
        self._llama: Any = library()
        self._context: Any = None
        with captured() as log:
            params = self._llama.llama_model_default_params()
            params.use_extra_bufts = repacks()
            params.n_gpu_layers = 0
            self._model = self._llama.llama_model_load_from_file(str(path).encode(), params)
            if not self._model:
                raise BackendError(f"llama.cpp could not load {path.name}: {log.last_error()}", hint="free some memory")
            wanted = self._llama.llama_context_default_params()
            wanted.n_ctx = wanted.n_batch = wanted.n_ubatch = wanted.n_outputs_max = longest
            wanted.n_threads = wanted.n_threads_batch = os.cpu_count() or 1
            # The weights are compared, so nothing else may round.
            wanted.type_k = wanted.type_v = self._llama.GGML_TYPE_F32
            wanted.flash_attn_type = self._llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
            if watch is not None:
                wanted.cb_eval, wanted.op_offload = watch.callback, False  # on a GPU matrices have other names
                self._watch = watch  # llama.cpp holds only its address
            self._context = self._llama.llama_init_from_model(self._model, wanted)
            if not self._context:
                self.close()
                raise BackendError(f"llama.cpp could not make a context: {log.last_error()}", hint="free some memory")
        self._vocabulary = Vocabulary(self._llama, self._model)

    def tokenize(self, text: str) -> list[int]:
        """Token ids, without BOS. Markers are read as such: a text of conversations is what the model will read."""
        return self._vocabulary.tokenize(text)

    def logits(self, tokens: list[int]) -> Array:
        """One row a token."""
        import numpy as np

        self.evaluate(tokens)
        found = self._llama.llama_get_logits(self._context)
        rows: Array = np.ctypeslib.as_array(found, (len(tokens), self._vocabulary.size)).copy()
        return rows

    def evaluate(self, tokens: list[int]) -> None:
        """Compute all of the network for every token, with nothing before the first."""
        llama = self._llama
        llama.llama_memory_clear(llama.llama_get_memory(self._context), True)
        batch = llama.llama_batch_init(len(tokens), 0, 1)
        try:
            batch.n_tokens = len(tokens)
            for i, token in enumerate(tokens):
                batch.token[i], batch.pos[i], batch.logits[i] = token, i, True
                batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
            if status := llama.llama_decode(self._context, batch):
                raise BackendError(f"llama.cpp failed to evaluate the text (status {status})")
        finally:
            llama.llama_batch_free(batch)

    def close(self) -> None:
        """Free everything."""
        if self._context:
            self._llama.llama_free(self._context)
        if self._model:
            self._llama.llama_model_free(self._model)
        self._context = self._model = None

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
