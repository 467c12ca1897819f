"""One model in llama.cpp: a token loop with little Python in it, and a state that grows by what is new.

It keeps the token ids that the model's state stands for. A prompt that begins with them costs only its new part. One
that does not is cut back where the model allows it (attention layers) and evaluated anew where it does not
(convolution layers).
"""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Generator, Mapping

from ...errors import BackendError
from ..base import Memory
from ..cancel import Cancel
from ..tokenwise import Job, TokenwiseSession, common_prefix
from . import interruptible
from .abort import AbortFlag
from .loading import Loaded
from .sampler import Sampler
from .vocabulary import Vocabulary

_ABORTED = 2  # llama_decode: the abort callback said stop


class LlamaSession(TokenwiseSession):
    """See `backends.base.Session`."""

    def __init__(self, loaded: Loaded) -> None:
        super().__init__()
        self._loaded = loaded
        self._llama = loaded.llama
        self._ctx = loaded.context
        self._kv = loaded.llama.llama_get_memory(loaded.context)
        self._batch: int = loaded.llama.llama_n_batch(loaded.context)
        self._tokens: list[int] = []  # what the state stands for
        self._abort = AbortFlag(loaded.llama, loaded.context)
        self.context: int = loaded.llama.llama_n_ctx(loaded.context)
        self.vocabulary = Vocabulary(loaded.llama, loaded.model)
        # In a notebook people load again into the same name and never close. The old model must go, or the board does.
        self._free_once = weakref.finalize(self, loaded.free)
        self._free_once.atexit = False  # the system takes it all back then, and a thread may still compute

    @property
    def chat_template(self) -> str | None:
        """The Jinja source in the file, or None."""
        self._require_open()
        source = self._llama.llama_model_chat_template(self._loaded.model, None)
        return source.decode("utf-8", "replace") if source else None

    def special_tokens(self) -> Mapping[str, str]:
        """`bos_token` and `eos_token` as text."""
        self._require_open()
        return self.vocabulary.special_tokens()

    def markers(self) -> frozenset[str]:
        """Texts that are one control token."""
        self._require_open()
        return self.vocabulary.markers

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids of `text`, without BOS."""
        self._require_open()
        return self.vocabulary.tokenize(text, special=special)

    def memory(self) -> Memory:
        """Bytes of each kind, as llama.cpp logged them when it allocated."""
        return self._loaded.memory

    def _samples(self, job: Job) -> Generator[int]:
        llama, ctx = self._llama, self._ctx
        sampler = Sampler(llama, self.vocabulary.size, job.sampling, job.seed)
        try:
            sampler.accept(job.prompt)
            one = (ctypes.c_int32 * 1)()
            batch = llama.llama_batch_get_one(one, 1)
            while True:
                one[0] = llama.llama_sampler_sample(sampler.chain, ctx, -1)
                yield one[0]
                if not self._decode(batch, [one[0]]):
                    return
        finally:
            sampler.close()

    def _piece(self, token: int) -> bytes:
        return self.vocabulary.piece(token)

    def _ends_generation(self, token: int) -> bool:
        return self.vocabulary.ends_generation(token)

    def _keep_prefix(self, prompt: list[int]) -> int:
        shared = common_prefix(self._tokens, prompt)
        shared = min(shared, len(prompt) - 1)  # the last token is always evaluated: its logits choose the first word
        if shared == len(self._tokens):
            return shared
        if shared and self._llama.llama_memory_seq_rm(self._kv, 0, shared, -1):
            del self._tokens[shared:]
            return shared
        self._clear()
        return 0

    def _prefill(self, prompt: list[int], cancel: Cancel) -> bool:
        while len(self._tokens) < len(prompt):
            if cancel.is_set():
                return False
            part = prompt[len(self._tokens) : len(self._tokens) + self._batch]
            ids = (ctypes.c_int32 * len(part))(*part)
            batch = self._llama.llama_batch_get_one(ids, len(part))
            if not interruptible.run(functools.partial(self._decode, batch, part), self._interrupt):
                return False
        return True

    def _decode(self, batch: object, tokens: list[int]) -> bool:
        """Run the model over `tokens`. False if it was aborted. Any other ending than success leaves an empty state."""
        status = None
        try:
            status = self._llama.llama_decode(self._ctx, batch)
        finally:
            if status == 0:
                self._tokens += tokens
            else:
                # Convolution layers cannot tell how far an interrupted computation got, so nothing of it can be
                # trusted.
                self._clear()
        if status not in (0, _ABORTED):
            raise BackendError(
                f"llama.cpp failed to evaluate {len(tokens)} tokens (status {status})",
                hint="load the model again; if it happens again, run `edgelfm doctor`",
            )
        return bool(status == 0)

    def _clear(self) -> None:
        self._llama.llama_memory_clear(self._kv, False)
        self._tokens = []

    def _begin(self) -> None:
        self._abort.lower()

    def _interrupt(self) -> None:
        self._abort.raise_()

    def _free(self) -> None:
        self._free_once()
