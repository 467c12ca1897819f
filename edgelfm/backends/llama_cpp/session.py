"""One model in llama.cpp: a token loop with little Python in it, over a state that can go back.

Only a prefill can be stopped inside a computation. A token that is being computed is waited for: breaking it off would
cost the state, and so more time than it saves.
"""

from __future__ import annotations

import ctypes
import functools
import math
import time
import weakref
from collections.abc import Callable, Generator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...errors import BackendError
from ...planning.plan import Settings
from ..base import Memory, TokenLogprob
from ..cancel import Cancel
from ..identity import fingerprint
from ..room import room_for
from ..states import Copied, States
from ..tokenwise import Job, TokenwiseSession
from . import interruptible, logprobs, openmp
from .abort import AbortFlag
from .loading import Loaded
from .pace import pace
from .sampler import Sampler
from .state import LlamaState
from .vocabulary import Vocabulary

_ABORTED = 2  # llama_decode: the abort callback said stop
#: Seconds. What is over sooner is computed where the reply will be: OpenMP keeps threads for each thread that computes,
#: and to change over costs some 30 ms. What takes longer must not keep Ctrl-C waiting.
_SOON = 0.25


class LlamaSession(TokenwiseSession):
    """See `backends.base.Session`."""

    def __init__(self, loaded: Loaded) -> None:
        super().__init__()
        self._loaded = loaded
        self._llama = loaded.llama
        self._prefilling = False
        self._kept_row: Any = None  # logits that were kept, where the context does not have them
        self._token_seconds = math.inf  # in the last prefill
        self._use_context()
        self.vocabulary = Vocabulary(loaded.llama, loaded.model)
        # In a notebook people load again into the same name and never close. The old model must go, or the board does.
        self._free_once = weakref.finalize(self, loaded.free)
        self._free_once.atexit = False  # the system takes it all back then, and a thread may still compute

    def _use_context(self) -> None:
        loaded = self._loaded
        state = LlamaState(loaded.llama, loaded.model, loaded.context)
        self._states = States(state, loaded.settings.state_bytes.value, room_for, events=self.events)
        self._pace = pace(loaded.llama, loaded.context, loaded.settings)
        self._ctx = loaded.context
        self._abort = AbortFlag(loaded.llama, loaded.context)
        self._batch: int = loaded.llama.llama_n_batch(loaded.context)
        self.context: int = loaded.llama.llama_n_ctx(loaded.context)

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

    def state_identity(self) -> Mapping[str, str]:
        """Runtime and build, weights, and how keys and values are stored."""
        self._require_open()
        loaded = self._loaded
        return {
            "runtime": "llama.cpp",
            "build": f"llama-cpp-python {version('llama-cpp-python')}",
            "model": fingerprint(loaded.path),
            "type of KV cache": loaded.settings.kv_type.value,
            "adapter": loaded.beside.digest if loaded.beside is not None else "none",
            "layout of KV cache": "flash attention" if loaded.settings.flash_attention.value else "transposed",
        }

    def reconfigure(self, settings: Settings) -> None:
        """Go on with other settings. The weights stay; live, parked and pinned states are given up.

        Waits for the reply under way. Raises `BackendError`; the model is closed then.
        """
        self._reopen(lambda: self._loaded.reopen(settings))

    def use_adapter(self, adapter: Path | None) -> None:
        """Go on with another LoRA beside the weights, or none. See `backends.base.Adapting`."""
        self._reopen(lambda: self._loaded.use_adapter(adapter))

    def _reopen(self, change: Callable[[], None]) -> None:
        """Make a change that replaces the context. Without one afterwards, the model is closed."""
        self._require_open()
        with self._turn(Cancel()):
            try:
                change()
            except BaseException:
                if not self._loaded.context:
                    self._closed = True
                    self._free_once()
                raise
            self._use_context()

    def _pack(self, copied: Copied) -> bytes:
        return bytes(copied.data)

    def _unpack(self, data: bytes | bytearray | memoryview) -> Copied:
        return Copied(bytearray(data), len(data))

    def _evaluate(self, part: list[int], *, last: bool) -> bool:
        if self._pace is not None:
            self._pace.check()
        ids = (ctypes.c_int32 * len(part))(*part)
        batch = self._llama.llama_batch_get_one(ids, len(part))
        work = functools.partial(self._decode, batch, part)
        started = time.perf_counter()
        soon = len(part) * self._token_seconds < _SOON
        done = work() if soon else interruptible.run(work, self._interrupt)
        if len(part) > 1:
            self._token_seconds = (time.perf_counter() - started) / len(part)
        return done

    def _samples(self, job: Job) -> Generator[int]:
        llama, ctx = self._llama, self._ctx
        pace = self._pace
        self._prefilling = False
        self._abort.lower()  # a request to stop that came at the very end of the prefill is seen between tokens
        sampler = Sampler(llama, self.vocabulary.size, job.sampling, job.seed, job.logit_bias)
        try:
            sampler.accept(job.prompt)
            one = (ctypes.c_int32 * 1)()
            batch = llama.llama_batch_get_one(one, 1)
            while True:
                one[0] = sampler.sample(ctx) if self._kept_row is None else sampler.sample_kept(self._kept_row)
                yield one[0]
                if pace is not None:
                    pace.check()
                if not self._decode(batch, [one[0]]):
                    return
        finally:
            sampler.close()

    def _decode(self, batch: object, tokens: list[int]) -> bool:
        """Run the model over `tokens`. False if it was aborted; then the state is back where it is certain."""
        status = self._kept_row = None
        try:
            status = self._llama.llama_decode(self._ctx, batch)
        finally:
            if status == 0:
                self._states.advance(tokens)
            elif status == _ABORTED:
                self._states.recover()
            else:
                self._states.lose()
        if status not in (0, _ABORTED):
            raise BackendError(
                f"llama.cpp failed to evaluate {len(tokens)} tokens (status {status})",
                hint="load the model again; if it happens again, run `edgelfm doctor`",
            )
        return bool(status == 0)

    def _logprob(self, token: int, top: int) -> TokenLogprob:
        return logprobs.read(self._logits_row(), self.vocabulary, token, top)

    def _logits_row(self) -> Any:
        if self._kept_row is not None:
            return self._kept_row
        return logprobs.row(self._llama, self._ctx, self.vocabulary.size)

    def _go_on_from(self, row: Any) -> None:
        self._kept_row = row

    def _piece(self, token: int) -> bytes:
        return self.vocabulary.piece(token)

    def _ends_generation(self, token: int) -> bool:
        return self.vocabulary.ends_generation(token)

    def _begin(self) -> None:
        if self._pace is not None:
            self._pace.begin()
        self._prefilling = True
        self._kept_row = None
        self._abort.lower()

    def _rest(self) -> None:
        openmp.rest()

    def _interrupt(self) -> None:
        if self._prefilling:
            self._abort.raise_()

    def _free(self) -> None:
        self._free_once()
