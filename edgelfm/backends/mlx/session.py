"""One model in MLX: while the device computes a token, Python reads the one before it.

The state grows by what is new, and goes back as far as the network allows; see `state`. MLX cannot be stopped inside
a computation, so a request to stop is heeded between tokens and between the steps of a prefill.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...errors import BackendError, StateRefused
from ...planning.plan import Settings
from ..base import Memory, TokenLogprob
from ..cancel import Cancel
from ..folder_session import FolderSession
from ..identity import fingerprint
from ..room import room_for
from ..states import Copied, States
from ..tokenwise import Job
from ..vocabulary import require_known
from .beside import attach
from .loading import Loaded
from .sampler import Sampler
from .state import State

_TIDY_EVERY = 256  # tokens between returning unused buffers to the system, as mlx-lm does


class MlxSession(FolderSession):
    """See `backends.base.Session`."""

    def __init__(self, loaded: Loaded, settings: Settings) -> None:
        super().__init__()
        self.context: int = settings.context.value
        self.vocabulary = loaded.vocabulary
        self._mx = loaded.library.mx
        self._model = loaded.model
        self._state = State(loaded.library, loaded.model, settings.kv_type.value)
        self._states = States(self._state, settings.state_bytes.value, room_for, events=self.events)
        self._batch: int = settings.micro_batch.value
        self._logits: Any = None  # that the token to be known next is sampled from, shape (1, words)
        self._interrupted = False
        self._folder = loaded.folder
        self._library, self._beside = loaded.library, loaded.beside
        self._kv_type: str = settings.kv_type.value
        self._weight_bytes = loaded.weight_bytes
        self._compute_bytes = 0
        self._words: int | None = getattr(getattr(loaded.model, "args", None), "vocab_size", None)
        self._process = os.getpid()

    def memory(self) -> Memory:
        """Bytes held now: the caches grow with the conversation.

        `compute` is the most that reading a prompt or writing a reply needed beyond what was held at its end, so 0
        before the first. MLX counts for the whole process; a second model at work at the same time is in it.
        """
        self._require_open()
        kv, conv = self._state.bytes()
        weights = self._weight_bytes + (self._beside.bytes if self._beside is not None else 0)
        return Memory(weights=weights, kv=kv, conv=conv, compute=self._compute_bytes, output=0)

    def state_identity(self) -> Mapping[str, str]:
        """Runtime and build, weights, and how keys and values are stored."""
        self._require_open()
        files = sorted(self._folder.glob("*.safetensors"))
        return {
            "runtime": "mlx",
            "build": f"mlx-lm {version('mlx-lm')}",
            "model": " ".join(fingerprint(file) for file in files),
            "type of KV cache": self._kv_type,
            "adapter": self._beside.digest if self._beside is not None else "none",
        }

    def use_adapter(self, adapter: Path | None) -> None:
        """Go on with another LoRA beside the weights, or none. See `backends.base.Adapting`."""
        self._require_open()
        with self._turn(Cancel()):
            lib, model, before = self._library, self._model, self._beside
            if before is not None:
                before.remove(lib, model)
            try:
                self._beside = attach(lib, model, adapter) if adapter is not None else None
            except BaseException:
                if before is not None:
                    before.put(lib, model)
                raise
            self._states.forget()

    def _checked(self, prompt: Sequence[int]) -> list[int]:
        tokens = super()._checked(prompt)
        if os.getpid() != self._process:  # its threads stayed behind, and it would wait for them for ever
            raise BackendError(
                "MLX computes nothing in a process that was forked after a model was loaded",
                hint="load the model in the new process, or start that with multiprocessing's 'spawn'",
            )
        if self._words is not None:
            require_known(tokens, self._words)
        return tokens

    def _pack(self, copied: Copied) -> bytes:
        return self._state.pack(copied)

    def _unpack(self, data: bytes | bytearray | memoryview) -> Copied:
        try:
            return self._state.unpack(data)
        except (RuntimeError, ValueError) as error:
            raise StateRefused(f"MLX cannot read the state: {error}") from error

    def _evaluate(self, part: list[int], *, last: bool) -> bool:
        if self._interrupted:
            return False
        without = part[:-1] if last else part  # whose logits are never computed
        if without:
            with self._computing():
                self._model(self._mx.array([without]), cache=self._state.caches)
                self._mx.eval(self._state.arrays())
                self._states.advance(without)
                self._mx.clear_cache()
        if self._interrupted:
            return False
        if last:
            with self._computing():
                self._logits = self._advance(self._mx.array(part[-1:]))
                self._mx.eval(self._logits, self._state.arrays())
                self._states.advance(part[-1:])
        return True

    def _samples(self, job: Job) -> Generator[int]:
        words = int(self._logits.shape[-1])
        sampler = Sampler(self._mx, job.sampling, job.seed, job.prompt, job.logit_bias, words)
        try:
            with self._computing():
                token = sampler.pick(self._logits)
            for sampled in range(1, job.limit + 1):
                if self._interrupted:
                    return
                with self._computing():
                    following = logits = None
                    if sampled < job.limit:
                        logits = self._advance(token)
                        following = sampler.pick(logits)
                        # All of it: what is not started now could not be finished by another thread.
                        self._mx.async_eval(following, logits, sampler.recent, self._state.arrays())
                    known = int(token.item())
                    if following is not None:
                        self._states.advance([known])
                    if sampled % _TIDY_EVERY == 0:
                        self._mx.clear_cache()
                yield known
                token, self._logits = following, logits
        finally:
            self._logits = None

    def _logits_row(self) -> Any:
        import numpy

        return numpy.array(self._logits[0].astype(self._mx.float32))

    def _go_on_from(self, row: Any) -> None:
        self._logits = self._mx.array(row)[None]

    def _logprob(self, token: int, top: int) -> TokenLogprob:
        mx = self._mx
        row = self._logits[0].astype(mx.float32)
        row = row - mx.logsumexp(row)
        likeliest = mx.argsort(-row)[:top].tolist() if top else []
        best = tuple((i, self._piece(i), float(row[i])) for i in likeliest)
        return TokenLogprob(token, self._piece(token), float(row[token]), best)

    def _advance(self, token: Any) -> Any:
        """Logits after `token`, both of shape (1, …). Computed later, but the caches already count it."""
        return self._model(token[None], cache=self._state.caches)[:, -1, :]

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """Leave an empty state if the block fails: nobody can tell how far each layer got."""
        try:
            yield
        except BaseException as error:
            self._states.lose()
            if isinstance(error, (RuntimeError, ValueError)):
                raise BackendError(
                    f"MLX failed to evaluate tokens: {error}",
                    hint="load the model again with less: a smaller context or micro_batch",
                ) from error
            raise

    def _begin(self) -> None:
        self._interrupted = False
        self._mx.reset_peak_memory()

    def _rest(self) -> None:
        self._compute_bytes = max(self._compute_bytes, self._mx.get_peak_memory() - self._mx.get_active_memory())

    def _interrupt(self) -> None:
        self._interrupted = True

    def _free(self) -> None:
        self._model = self._logits = None
        del self._state, self._states
        self._mx.clear_cache()
