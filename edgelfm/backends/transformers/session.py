"""One model in transformers, driven a token at a time without `generate`: only the last position's logits, one cache.

torch cannot be stopped inside an operation, but between the layers of a network: a long piece of a prompt is broken
off there, and the state goes back to the last checkpoint. Between tokens a request to stop costs nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...errors import BackendError
from ...planning.plan import Settings
from ..base import Memory, TokenLogprob
from ..cancel import Cancel
from ..folder_session import FolderSession
from ..identity import fingerprint
from ..room import room_for
from ..sampling import Sampler, logprob
from ..states import Copied, States
from ..tokenwise import Job
from ..vocabulary import require_known
from . import calling
from .beside import attach
from .loading import Loaded
from .state import State


class _BrokenOff(BaseException):
    """Raised between two layers. A BaseException, so that nothing in between takes it for an error of its own."""


class TransformersSession(FolderSession):
    """See `backends.base.Session`."""

    def __init__(self, loaded: Loaded, settings: Settings) -> None:
        super().__init__()
        self.context: int = settings.context.value
        self.vocabulary = loaded.vocabulary
        self.device, self.dtype = loaded.device, loaded.dtype
        self._planned_dtype = settings.dtype
        self._torch = loaded.library.torch
        self._loaded: Loaded | None = loaded
        self._words: int = loaded.model.get_input_embeddings().weight.shape[0]
        self._head = calling.head(loaded.model)
        self._body = calling.body(loaded.model)
        self._layers = calling.layers(loaded.model)
        self._state = State(loaded.library, loaded.model.config, self.context)
        self._states = States(self._state, settings.state_bytes.value, room_for, events=self.events)
        self._batch: int = settings.micro_batch.value
        self._threads = settings.threads.value
        self._threads_prefill = settings.threads_prefill.value
        self._logits: Any = None  # that the token to be known next is sampled from, shape (words,)
        self._interrupted = False
        self._weight_bytes = loaded.weight_bytes
        self._beside = loaded.beside
        self._compute_bytes = 0

    @property
    def remarks(self) -> tuple[str, ...]:
        """What somebody who loaded this model should know, in sentences."""
        planned = self._planned_dtype
        if planned is None or planned.value == self.dtype.value:
            return ()
        return (f"weights are held in {self.dtype.value} and not in {planned.value}: {self.dtype.reason}",)

    def memory(self) -> Memory:
        """Bytes held now: the caches grow with the conversation, with room ahead.

        `compute` is the most that a GPU needed for an evaluation beyond what was held; a CPU's is not known, and 0.
        """
        self._require_open()
        kv, conv = self._state.bytes()
        logits = self._logits
        output = 0 if logits is None else int(logits.nbytes)
        weights = self._weight_bytes + (self._beside.bytes if self._beside is not None else 0)
        return Memory(weights=weights, kv=kv, conv=conv, compute=self._compute_bytes, output=output)

    def state_identity(self) -> Mapping[str, str]:
        """Runtime and build, weights, and in which numbers and where they are computed with."""
        self._require_open()
        loaded = self._loaded
        assert loaded is not None
        files = sorted(loaded.folder.glob("model*.safetensors"))
        return {
            "runtime": "transformers",
            "build": f"transformers {version('transformers')} with torch {self._torch.__version__}",
            "model": " ".join(fingerprint(file) for file in files),
            "dtype": loaded.dtype.value,
            "device": loaded.device.value,
            "quantization": loaded.quantization,
            "adapter": self._beside.digest if self._beside is not None else "none",
        }

    def use_adapter(self, adapter: Path | None) -> None:
        """Go on with another LoRA beside the weights, or none. See `backends.base.Adapting`."""
        self._require_open()
        with self._turn(Cancel()):
            assert self._loaded is not None
            lib, model = self._loaded.library, self._loaded.model
            following = attach(lib, model, adapter) if adapter is not None else None
            if self._beside is not None:
                self._beside.remove()
            self._beside = following
            self._states.forget()

    def _checked(self, prompt: Sequence[int]) -> list[int]:
        tokens = super()._checked(prompt)
        require_known(tokens, self._words)
        return tokens

    def _pack(self, copied: Copied) -> bytes:
        return self._state.pack(copied)

    def _unpack(self, data: bytes | bytearray | memoryview) -> Copied:
        return self._state.unpack(data, self.device.value)

    def _evaluate(self, part: list[int], *, last: bool) -> bool:
        if self._interrupted:
            return False
        with self._computing(self._threads_prefill):
            try:
                with self._breakable(part), self._watching():
                    run = self._head if last else self._body
                    computed = run(self._tensor(part), self._state.cache)
            except _BrokenOff:
                self._states.recover()
                return False
            self._states.advance(part)
        self._logits = computed if last else None
        return True

    def _samples(self, job: Job) -> Generator[int]:
        sampler = Sampler(job.sampling, job.seed, job.prompt, job.logit_bias, self._logits.numel())
        try:
            token = self._pick(sampler)
            for _ in range(job.limit):
                yield token
                if self._interrupted:
                    return
                with self._computing(self._threads):
                    self._logits = self._head(self._tensor([token]), self._state.cache)
                    self._states.advance([token])
                    token = self._pick(sampler)
        finally:
            self._logits = None

    def _tensor(self, part: list[int]) -> Any:
        return self._torch.tensor([part], device=self.device.value)

    def _pick(self, sampler: Sampler) -> int:
        return int(self._logits.argmax()) if sampler.plain else sampler.pick(self._logits_row())

    def _logits_row(self) -> Any:
        return self._logits.float().cpu().numpy()

    def _go_on_from(self, row: Any) -> None:
        self._logits = self._torch.from_numpy(row).to(self.device.value)

    def _logprob(self, token: int, top: int) -> TokenLogprob:
        return logprob(self._logits_row(), token, top, self._piece)

    @contextlib.contextmanager
    def _breakable(self, part: list[int]) -> Iterator[None]:
        """Look between layers whether somebody wants this to end. One token is over sooner than it could be undone."""
        if len(part) == 1:
            yield
            return

        def look(*given: object) -> None:
            if self._interrupted:
                raise _BrokenOff

        hooks = [layer.register_forward_pre_hook(look) for layer in self._layers]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @contextlib.contextmanager
    def _computing(self, threads: int) -> Iterator[None]:
        """Compute without gradients and with so many threads. Leaves an empty state if the block fails.

        How many threads torch computes with is a setting of the process; others in it get theirs back.
        """
        torch = self._torch
        before = torch.get_num_threads()
        if before != threads:
            torch.set_num_threads(threads)
        try:
            with torch.inference_mode():
                yield
        except BaseException as error:
            self._states.lose()
            self._logits = None
            if isinstance(error, (RuntimeError, ValueError, IndexError)) and not isinstance(error, BackendError):
                raise BackendError(
                    f"torch failed to evaluate tokens: {str(error).partition(chr(10))[0]}",
                    hint="load the model again with less: a smaller context or micro_batch",
                ) from error
            raise
        finally:
            if before != threads:
                torch.set_num_threads(before)

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        """Note the most that a GPU needed. It takes too long to do for every token, and prompts need more anyway."""
        if not self.device.value.startswith("cuda"):
            yield
            return
        cuda = self._torch.cuda
        cuda.reset_peak_memory_stats()
        held = cuda.memory_allocated()
        yield
        self._compute_bytes = max(self._compute_bytes, int(cuda.max_memory_allocated() - held))

    def _begin(self) -> None:
        self._interrupted = False

    def _rest(self) -> None:
        self._logits = None

    def _interrupt(self) -> None:
        self._interrupted = True

    def _free(self) -> None:
        self._loaded = self._logits = None
        self._layers = []
        del self._head, self._body, self._state, self._states
        if self.device.value.startswith("cuda"):
            self._torch.cuda.empty_cache()
