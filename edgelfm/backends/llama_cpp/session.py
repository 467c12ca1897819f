"""One model in llama.cpp: a token loop with little Python in it, and a state that grows by what is new.

It keeps the token ids that the model's state stands for. A prompt that begins with them costs only its new part. One
that does not is cut back where the model allows it (attention layers) and evaluated anew where it does not
(convolution layers).
"""

from __future__ import annotations

import ctypes
import time
import weakref
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ...errors import BackendError, ContextExceeded, RequestError, SessionClosed
from ...models.entry import Sampling
from ..base import FinishReason, Memory, Timings, Token
from ..cancel import Cancel
from ..line import Line
from ..text import TextStream
from .abort import AbortFlag
from .loading import Loaded
from .sampler import Sampler
from .vocabulary import Vocabulary

_ABORTED = 2  # llama_decode: the abort callback said stop


@dataclass(slots=True)
class _Run:
    """The bookkeeping of one generation."""

    prompt_tokens: int
    cached_tokens: int
    started: float
    prefill_started: float = 0.0
    prefilled: float = 0.0
    first: float = 0.0
    last: float = 0.0
    completion: int = 0
    ids: list[int] = field(default_factory=list)  # sampled since the last event

    def timings(self) -> Timings:
        return Timings(
            prompt_tokens=self.prompt_tokens,
            cached_tokens=self.cached_tokens,
            completion_tokens=self.completion,
            prefill_seconds=max(0.0, self.prefilled - self.prefill_started),
            decode_seconds=max(0.0, self.last - self.first),
            first_token_seconds=max(0.0, self.first - self.started),
        )


class LlamaSession:
    """See `backends.base.Session`."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._llama = loaded.llama
        self._ctx = loaded.context
        self._kv = loaded.llama.llama_get_memory(loaded.context)
        self._batch: int = loaded.llama.llama_n_batch(loaded.context)
        self._tokens: list[int] = []  # what the state stands for
        self._line = Line()
        self._abort = AbortFlag(loaded.llama, loaded.context)
        self._closed = False
        self.context: int = loaded.llama.llama_n_ctx(loaded.context)
        self.vocabulary = Vocabulary(loaded.llama, loaded.model)

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

    def generate(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        *,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        seed: int | None = None,
        cancel: Cancel | None = None,
    ) -> Iterator[Token]:
        """Stream a completion of `prompt`.

        Raises `RequestError` for an empty prompt, `ContextExceeded` when no room is left for a reply, `SessionClosed`
        after `close()`, and `BackendError` when llama.cpp fails. All but the last are raised before anything is
        computed.
        """
        self._require_open()
        prompt = list(prompt)
        if not prompt:
            raise RequestError("the prompt is empty", hint="give at least one token")
        if max_tokens is not None and max_tokens < 1:
            raise RequestError(f"max_tokens is {max_tokens}", hint="ask for at least 1 token, or leave it out")
        if len(prompt) >= self.context:
            raise ContextExceeded(
                f"the prompt has {len(prompt)} tokens and the context holds {self.context}",
                prompt_tokens=len(prompt),
                context=self.context,
                hint=f"shorten it, or load with context={_next_size(len(prompt) + 1)}",
            )
        own: list[weakref.ref[Generator[Token]]] = []
        stream = self._stream(prompt, sampling, max_tokens, stop, seed, cancel or Cancel(), own)
        own.append(weakref.ref(stream))  # weak: a stream nobody reads any more must go, and free the model, at once
        return stream

    def _stream(
        self,
        prompt: list[int],
        sampling: Sampling,
        max_tokens: int | None,
        stop: Sequence[str],
        seed: int | None,
        cancel: Cancel,
        own: list[weakref.ref[Generator[Token]]],
    ) -> Generator[Token]:
        def evict() -> None:
            if (stream := own[0]()) is not None:
                stream.close()

        started = time.perf_counter()
        turn = self._line.take(evict)
        try:
            self._require_open()
            self._abort.lower()
            with cancel.watched_by(self._abort.raise_):
                last = yield from self._run(prompt, sampling, max_tokens, stop, seed, cancel, started)
        finally:
            turn.release()
        yield last  # after the release: whoever reads no further than this must not block the others

    def _run(
        self,
        prompt: list[int],
        sampling: Sampling,
        max_tokens: int | None,
        stop: Sequence[str],
        seed: int | None,
        cancel: Cancel,
        started: float,
    ) -> Generator[Token, None, Token]:
        llama, ctx, vocabulary = self._llama, self._ctx, self.vocabulary
        run = _Run(len(prompt), self._keep_prefix(prompt), started, prefill_started=time.perf_counter())
        text = TextStream(stop)
        limit = min(max_tokens or self.context, self.context - len(prompt))
        if not self._prefill(prompt, cancel):
            now = time.perf_counter()
            run.prefilled = run.first = run.last = now
            return Token((), "", "cancelled", run.timings())
        run.prefilled = time.perf_counter()
        sampler = Sampler(llama, vocabulary.size, sampling, seed)
        try:
            sampler.accept(prompt)
            one = (ctypes.c_int32 * 1)()
            batch = llama.llama_batch_get_one(one, 1)
            finish: FinishReason = "length"
            while run.completion < limit:
                if cancel.is_set():
                    finish = "cancelled"
                    break
                token = llama.llama_sampler_sample(sampler.chain, ctx, -1)
                run.last = time.perf_counter()
                run.completion += 1
                if run.completion == 1:
                    run.first = run.last
                if vocabulary.ends_generation(token):
                    finish = "stop"
                    break
                run.ids.append(token)
                piece = text.push(vocabulary.piece(token))
                if text.stopped:
                    if piece:
                        yield Token(tuple(run.ids), piece)
                        run.ids = []
                    finish = "stop"
                    break
                if piece:
                    yield Token(tuple(run.ids), piece)
                    run.ids = []
                if run.completion == limit:
                    break
                one[0] = token
                if not self._decode(batch, [token]):
                    self._require_open()
                    finish = "cancelled"
                    break
            return Token(tuple(run.ids), text.finish(), finish, run.timings())
        finally:
            sampler.close()

    def _keep_prefix(self, prompt: list[int]) -> int:
        """Bring the state to the longest beginning of `prompt` it can represent and return its length in tokens."""
        shared = _common_prefix(self._tokens, prompt)
        shared = min(shared, len(prompt) - 1)  # the last token is always evaluated: its logits choose the first word
        if shared == len(self._tokens):
            return shared
        if shared and self._llama.llama_memory_seq_rm(self._kv, 0, shared, -1):
            del self._tokens[shared:]
            return shared
        self._clear()
        return 0

    def _prefill(self, prompt: list[int], cancel: Cancel) -> bool:
        """Evaluate what the state lacks of `prompt`. False if it was cancelled."""
        while len(self._tokens) < len(prompt):
            if cancel.is_set():
                return False
            part = prompt[len(self._tokens) : len(self._tokens) + self._batch]
            ids = (ctypes.c_int32 * len(part))(*part)
            if not self._decode(self._llama.llama_batch_get_one(ids, len(part)), part):
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

    def _require_open(self) -> None:
        if self._closed:
            raise SessionClosed("this model was closed", hint="load it again with edgelfm.load()")

    def close(self) -> None:
        """Stop what runs, wait for it to let go, and free model and context."""
        if self._closed:
            return
        self._closed = True
        self._abort.raise_()
        turn = self._line.take_over()
        try:
            self._loaded.free()
        finally:
            turn.release()


def _common_prefix(left: list[int], right: list[int]) -> int:
    """Number of leading tokens that are the same."""
    shortest = min(len(left), len(right))
    if left[:shortest] == right[:shortest]:  # the usual case, at C speed
        return shortest
    return next(i for i in range(shortest) if left[i] != right[i])


def _next_size(tokens: int) -> int:
    """The power of two that holds `tokens`, at least 1,024."""
    return max(1024, 1 << (tokens - 1).bit_length())
