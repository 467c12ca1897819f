"""One loaded model that samples a token at a time, for one caller at a time. Shared by the runtimes edgelfm drives.

It knows the queue of callers, the limits of a request, when a reply ends, how ids become text, and the clock. It does
not know how a model computes: each runtime says that in the few methods at the end.
"""

from __future__ import annotations

import contextlib
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field

from ..errors import ContextExceeded, RequestError, SessionClosed
from ..models.entry import Sampling
from .base import FinishReason, Timings, Token
from .cancel import Cancel
from .line import Line
from .text import TextStream


@dataclass(frozen=True, slots=True)
class Job:
    """What one call of `generate` asked for, checked."""

    prompt: list[int]
    sampling: Sampling
    limit: int  # tokens of the reply, at least 1
    stop: Sequence[str]
    seed: int | None
    cancel: Cancel


@dataclass(slots=True)
class _Run:
    """The bookkeeping of one generation."""

    prompt_tokens: int
    cached_tokens: int
    started: float
    prefill_started: float
    prefilled: float = 0.0
    first: float = 0.0
    last: float = 0.0
    completion: int = 0
    ids: list[int] = field(default_factory=list)  # sampled since the last event

    def sampled(self) -> None:
        self.last = time.perf_counter()
        self.completion += 1
        if self.completion == 1:
            self.first = self.last

    def event(self, text: str) -> Token:
        ids, self.ids = tuple(self.ids), []
        return Token(ids, text)

    def end(self, text: str, reason: FinishReason) -> Token:
        return Token(tuple(self.ids), text, reason, self._timings())

    def _timings(self) -> Timings:
        return Timings(
            prompt_tokens=self.prompt_tokens,
            cached_tokens=self.cached_tokens,
            completion_tokens=self.completion,
            prefill_seconds=max(0.0, self.prefilled - self.prefill_started),
            decode_seconds=max(0.0, self.last - self.first),
            first_token_seconds=max(0.0, self.first - self.started),
        )


class TokenwiseSession(ABC):
    """`generate` and `close` of a `backends.base.Session`. A runtime adds the rest."""

    context: int

    def __init__(self) -> None:
        self._line = Line()
        self._closed = False

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
        after `close()`, and `BackendError` when the runtime fails. All but the last are raised before anything is
        computed.
        """
        self._require_open()
        prompt = list(prompt)
        if not prompt:
            raise RequestError("the prompt is empty", hint="give at least one token")
        if max_tokens is not None and max_tokens < 1:
            raise RequestError(f"max_tokens is {max_tokens}", hint="ask for at least 1 token, or leave it out")
        room = self.context - len(prompt)
        if room < 1:
            raise ContextExceeded(
                f"the prompt has {len(prompt)} tokens and the context holds {self.context}",
                prompt_tokens=len(prompt),
                context=self.context,
                hint=f"shorten it, or load with context={_next_size(len(prompt) + 1)}",
            )
        limit = min(max_tokens or room, room)
        job = Job(prompt, sampling, limit, stop, seed, cancel or Cancel())
        own: list[weakref.ref[Generator[Token]]] = []
        stream = self._stream(job, own)
        own.append(weakref.ref(stream))  # weak: a stream nobody reads any more must go, and free the model, at once
        return stream

    def close(self) -> None:
        """Stop what runs, wait for it to let go, and free the model."""
        if self._closed:
            return
        self._closed = True
        self._interrupt()
        turn = self._line.take_over()
        try:
            self._free()
        finally:
            turn.release()

    def _stream(self, job: Job, own: list[weakref.ref[Generator[Token]]]) -> Generator[Token]:
        def evict() -> None:
            if (stream := own[0]()) is not None:
                stream.close()

        started = time.perf_counter()
        turn = self._line.take(evict)
        try:
            self._begin()
            self._require_open()  # after it: an interrupt by close() that it has just forgotten is seen here
            with job.cancel.watched_by(self._interrupt):
                last = yield from self._run(job, started)
        finally:
            turn.release()
        yield last  # after the release: whoever reads no further than this must not block the others

    def _run(self, job: Job, started: float) -> Generator[Token, None, Token]:
        run = _Run(len(job.prompt), self._keep_prefix(job.prompt), started, prefill_started=time.perf_counter())
        prefilled = self._prefill(job.prompt, job.cancel)
        run.prefilled = time.perf_counter()
        if not prefilled:
            self._require_open()
            run.first = run.last = run.prefilled
            return run.end("", "cancelled")
        text = TextStream(job.stop)
        finish: FinishReason = "length"
        with contextlib.closing(self._samples(job)) as tokens:
            while run.completion < job.limit:
                token = None if job.cancel.is_set() else next(tokens, None)
                if token is None:
                    self._require_open()
                    finish = "cancelled"
                    break
                run.sampled()
                if self._ends_generation(token):
                    finish = "stop"
                    break
                run.ids.append(token)
                if piece := text.push(self._piece(token)):
                    yield run.event(piece)
                if text.stopped:
                    finish = "stop"
                    break
        return run.end(text.finish(), finish)

    def _require_open(self) -> None:
        if self._closed:
            raise SessionClosed("this model was closed", hint="load it again with edgelfm.load()")

    @abstractmethod
    def _keep_prefix(self, prompt: list[int]) -> int:
        """Bring the state to the longest beginning of `prompt` it can represent, short of the last token.

        Returns its length in tokens.
        """

    @abstractmethod
    def _prefill(self, prompt: list[int], cancel: Cancel) -> bool:
        """Evaluate what the state lacks of `prompt`. False if it was interrupted or cancelled."""

    @abstractmethod
    def _samples(self, job: Job) -> Generator[int]:
        """Sample tokens, up to `job.limit` of them. Ends early only when it was interrupted."""

    @abstractmethod
    def _piece(self, token: int) -> bytes:
        """The bytes of one token."""

    @abstractmethod
    def _ends_generation(self, token: int) -> bool:
        """Whether the model says with this token that it is done."""

    @abstractmethod
    def _begin(self) -> None:
        """A new generation has its turn: forget earlier interrupts."""

    @abstractmethod
    def _interrupt(self) -> None:
        """Stop computing soon. Called from any thread, also when nothing runs."""

    @abstractmethod
    def _free(self) -> None:
        """Give back all memory. Called once."""


def common_prefix(left: list[int], right: list[int]) -> int:
    """Number of leading tokens that are the same."""
    shortest = min(len(left), len(right))
    if left[:shortest] == right[:shortest]:  # the usual case, at C speed
        return shortest
    return next(i for i in range(shortest) if left[i] != right[i])


def _next_size(tokens: int) -> int:
    """The power of two that holds `tokens`, at least 1,024."""
    return max(1024, 1 << (tokens - 1).bit_length())
