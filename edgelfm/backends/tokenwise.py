"""One loaded model that samples a token at a time, for one caller at a time. Shared by the runtimes edgelfm drives.

It knows the queue of callers, the limits of a request, where a prefill pauses for a checkpoint, when a reply ends, how
ids become text, and the clock. It does not know how a model computes: each runtime says that in the few methods at the
end.
"""

from __future__ import annotations

import contextlib
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ContextExceeded, RequestError, SessionClosed, StateRefused
from ..models.entry import Sampling
from ..monitor.events import Events
from .base import FinishReason, Kept, State, Timings, Token, TokenLogprob
from .cancel import Cancel
from .line import Line
from .states import Checkpoint, Copied, States
from .stops import stops
from .text import TextStream


@dataclass(frozen=True, slots=True)
class Job:
    """What one call of `generate` asked for, checked."""

    prompt: list[int]
    sampling: Sampling
    limit: int  # tokens of the reply, at least 1
    stop: Sequence[str]
    seed: int | None
    logit_bias: Mapping[int, float]
    logprobs: int | None  # how many of the likeliest tokens to report beside each; None: report nothing
    keep: bool  # whether what comes of it may be wanted again
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
    logprobs: list[TokenLogprob] = field(default_factory=list)  # of these

    def sampled(self) -> None:
        self.last = time.perf_counter()
        self.completion += 1
        if self.completion == 1:
            self.first = self.last

    def event(self, text: str) -> Token:
        ids, self.ids = tuple(self.ids), []
        if not self.logprobs:
            return Token(ids, text)
        logprobs, self.logprobs = tuple(self.logprobs), []
        return Token(ids, text, logprobs=logprobs)

    def end(self, text: str, reason: FinishReason) -> Token:
        return Token(tuple(self.ids), text, reason, self.timings(), tuple(self.logprobs))

    def timings(self) -> Timings:
        return Timings(
            prompt_tokens=self.prompt_tokens,
            cached_tokens=self.cached_tokens,
            completion_tokens=self.completion,
            prefill_seconds=max(0.0, self.prefilled - self.prefill_started),
            decode_seconds=max(0.0, self.last - self.first),
            first_token_seconds=max(0.0, self.first - self.started),
        )


class TokenwiseSession(ABC):
    """What a `backends.base.Session` does with prompts and states. A runtime adds the rest."""

    context: int
    _batch: int  # tokens that one `_evaluate` takes
    _states: States

    def __init__(self) -> None:
        self.events = Events()
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
        logit_bias: Mapping[int, float] | None = None,
        logprobs: int | None = None,
        keep: bool = True,
        cancel: Cancel | None = None,
    ) -> Iterator[Token]:
        """Stream a completion of `prompt`. See `backends.base.Session.generate`.

        Raises `RequestError` for an empty prompt, `ContextExceeded` when no room is left for a reply, `SessionClosed`
        after `close()`, and `BackendError` when the runtime fails. All but the last are raised before anything is
        computed.
        """
        prompt = self._checked(prompt)
        if max_tokens is not None and max_tokens < 1:
            raise RequestError(f"max_tokens is {max_tokens}", hint="ask for at least 1 token, or leave it out")
        room = self.context - len(prompt)
        if room < 1:
            raise self._too_long(prompt)
        limit = min(max_tokens or room, room)
        job = Job(prompt, sampling, limit, stop, seed, logit_bias or {}, logprobs, keep, cancel or Cancel())
        own: list[weakref.ref[Generator[Token]]] = []
        stream = self._stream(job, own)
        own.append(weakref.ref(stream))  # weak: a stream nobody reads any more must go, and free the model, at once
        return stream

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`. See `backends.base.Session.detokenize`."""
        self._require_open()
        pieces = [self._piece(token) for token in tokens]
        if not all(pieces):
            unknown = tokens[pieces.index(b"")]
            raise RequestError(f"token {unknown} stands for nothing", hint="these tokens are of another vocabulary")
        return b"".join(pieces).decode("utf-8", "replace")

    def prime(self, prompt: Sequence[int], *, pin: bool = False, cancel: Cancel | None = None) -> Timings:
        """Evaluate `prompt` now. See `backends.base.Session.prime`."""
        prompt, cancel = self._checked(prompt), cancel or Cancel()
        if len(prompt) > self.context:
            raise self._too_long(prompt)
        run = _Run(len(prompt), 0, started := time.perf_counter(), started)
        with self._turn(cancel):
            run.prefill_started = time.perf_counter()
            run.cached_tokens = self._states.go_to(prompt)
            self._tell_prefill(run)
            whole = self._prefill(prompt, cancel)
            self._require_open()
            self._states.mark()
            if pin and whole:
                self._states.pin()
        run.prefilled = run.first = run.last = time.perf_counter()
        self._tell_prefill(run)
        return run.timings()

    def forget(self) -> None:
        """Give up every state, pinned ones too. The next prompt is evaluated whole."""
        self._require_open()
        with self._turn(Cancel()):
            self._states.forget()

    def kept(self) -> Kept:
        """What is in memory to go back to."""
        return self._states.kept()

    def export_state(self, prompt: Sequence[int]) -> State | None:
        """The state that stands for the longest beginning of `prompt`. See `backends.base.Session.export_state`."""
        prompt = self._checked(prompt)
        with self._turn(Cancel()):
            best = self._states.best_for(prompt)
            if best is None:
                return None
            marks = tuple((one.length, self._packed(one.copied), _row_bytes(one.logits)) for one in best.checkpoints)
            return State(self.state_identity(), tuple(best.tokens), self._pack(best.copied), marks)

    def import_state(self, state: State, *, pin: bool = False) -> None:
        """Keep a state for the prompts that begin as it does. Raises `StateRefused` with the reason."""
        self._require_open()
        own = self.state_identity()
        foreign = {name: given for name, given in state.identity.items() if own.get(name) != given}
        if foreign or set(own) - set(state.identity):
            name = min(foreign or set(own) - set(state.identity))
            raise StateRefused(
                f"the state belongs to another {name.replace('_', ' ')}: {state.identity.get(name, 'unknown')}, "
                f"and this is {own.get(name, 'unknown')}",
                hint="nothing is lost: the text is evaluated anew",
            )
        if len(state.tokens) > self.context:
            raise StateRefused(
                f"the state has {len(state.tokens)} tokens and the context holds {self.context}",
                hint=f"load with context={_next_size(len(state.tokens) + 1)}",
            )
        with self._turn(Cancel()):
            marks = [
                Checkpoint(length, self._unpack(data) if data else None, 0, _row_of(logits))
                for length, data, logits in state.checkpoints
            ]
            self._states.adopt(state.tokens, self._unpack(state.data), marks, pin)

    def close(self) -> None:
        """Stop what runs, wait for it to let go, and free the model."""
        if self._closed:
            return
        self._closed = True
        self.events.emit("close")
        self._interrupt()
        turn = self._line.take_over()
        try:
            self._free()
        finally:
            turn.release()

    def _checked(self, prompt: Sequence[int]) -> list[int]:
        self._require_open()
        if not prompt:
            raise RequestError("the prompt is empty", hint="give at least one token")
        return list(prompt)

    def _too_long(self, prompt: list[int]) -> ContextExceeded:
        return ContextExceeded(
            f"the prompt has {len(prompt)} tokens and the context holds {self.context}",
            prompt_tokens=len(prompt),
            context=self.context,
            hint=f"shorten it, or load with context={_next_size(len(prompt) + 1)}",
        )

    @contextlib.contextmanager
    def _turn(self, cancel: Cancel) -> Iterator[None]:
        """Have the model for the length of a block that gives nothing to anybody meanwhile."""
        turn = self._line.take(lambda: None)
        try:
            self._begin()
            self._require_open()
            with cancel.watched_by(self._interrupt):
                yield
        finally:
            self._rest()
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
            self._rest()
            turn.release()
        yield last  # after the release: whoever reads no further than this must not block the others

    def _run(self, job: Job, started: float) -> Generator[Token, None, Token]:
        prefill_started = time.perf_counter()
        cached = self._states.go_to(job.prompt, keep=job.keep)
        run = _Run(len(job.prompt), cached, started, prefill_started)
        self._tell_prefill(run)
        prefilled = self._prefill(job.prompt, job.cancel)
        run.prefilled = time.perf_counter()
        self._tell_prefill(run)
        if not prefilled:
            self._require_open()
            run.first = run.last = run.prefilled
            self.events.emit("reply", tokens=0, note="cancelled")
            return run.end("", "cancelled")
        if cached == len(job.prompt):
            assert self._states.logits is not None
            self._go_on_from(self._states.logits.data)
        text = TextStream(job.stop)
        events = self.events
        finish: FinishReason = "cancelled"  # as is what nobody reads to its end
        try:
            with contextlib.closing(self._samples(job)) as tokens:
                while run.completion < job.limit:
                    token = None if job.cancel.is_set() else next(tokens, None)
                    if token is None:
                        self._require_open()
                        break
                    run.sampled()
                    if (listener := events.token) is not None:
                        listener(run.last)
                        if run.completion == 1:
                            events.emit("first_token", seconds=run.first - run.started, at=run.first)
                    if self._ends_generation(token):
                        finish = "stop"
                        break
                    run.ids.append(token)
                    if job.logprobs is not None:
                        run.logprobs.append(self._logprob(token, job.logprobs))
                    if piece := text.push(self._piece(token)):
                        yield run.event(piece)
                    if text.stopped:
                        finish = "stop"
                        break
                else:
                    finish = "length"
        finally:
            events.emit("reply", tokens=run.completion, seconds=run.timings().decode_seconds, note=finish)
        return run.end(text.finish(), finish)

    def _tell_prefill(self, run: _Run) -> None:
        """To whoever listens: it begins, or it has ended."""
        tokens = run.prompt_tokens - run.cached_tokens
        if run.prefilled:
            seconds = run.prefilled - run.prefill_started
            self.events.emit("prefilled", tokens=tokens, seconds=seconds, at=run.prefilled)
        else:
            self.events.emit("prefill", tokens=tokens, at=run.prefill_started)

    def _require_open(self) -> None:
        if self._closed:
            raise SessionClosed("this model was closed", hint="load it again with edgelfm.load()")

    def _prefill(self, prompt: list[int], cancel: Cancel) -> bool:
        """Evaluate what the state lacks of `prompt`, with checkpoints on the way. False if it was broken off.

        The logits at its end are kept: evaluated once more, and not in the same batch, they would be rounded in another
        way, and the same question could get two answers at temperature 0.
        """
        states, length = self._states, len(prompt)
        states.mark()
        ends = [] if states.runtime.cuttable else stops(prompt, len(states.tokens), self._ends_generation)
        for end in [*ends, length]:
            while (done := len(states.tokens)) < end:
                if cancel.is_set() or self._closed:
                    return False
                part = prompt[done : min(end, done + self._batch)]
                if not self._evaluate(part, last=done + len(part) == length):
                    return False
            if end < length:
                states.mark()
        if states.logits is None:
            row = self._logits_row().copy()
            states.mark(Copied(row, row.nbytes))
        return True

    def _packed(self, copied: Copied | None) -> bytes:
        return b"" if copied is None else self._pack(copied)

    @abstractmethod
    def state_identity(self) -> Mapping[str, str]:
        """What a `State` must say to fit here."""

    @abstractmethod
    def _pack(self, copied: Copied) -> bytes:
        """A copied state or checkpoint as bytes."""

    @abstractmethod
    def _unpack(self, data: bytes | bytearray | memoryview) -> Copied:
        """The way back."""

    @abstractmethod
    def _evaluate(self, part: list[int], *, last: bool) -> bool:
        """Extend the live state by at most `_batch` tokens, and say so to `_states`. False if it was interrupted.

        After the `last` part of a prompt the next token is sampled.
        """

    @abstractmethod
    def _logits_row(self) -> Any:
        """Those that the next token is sampled from, float32 of shape (words,). May be memory that is used again."""

    @abstractmethod
    def _go_on_from(self, row: Any) -> None:
        """Sample the next token from these logits, which were kept. Nobody may write to them."""

    @abstractmethod
    def _samples(self, job: Job) -> Generator[int]:
        """Sample tokens, up to `job.limit` of them. Ends early only when it was interrupted."""

    @abstractmethod
    def _logprob(self, token: int, top: int) -> TokenLogprob:
        """How likely the token just sampled was, and the `top` likeliest. Called before the state goes on."""

    @abstractmethod
    def _piece(self, token: int) -> bytes:
        """The bytes of one token."""

    @abstractmethod
    def _ends_generation(self, token: int) -> bool:
        """Whether the model says with this token that it is done."""

    @abstractmethod
    def _begin(self) -> None:
        """A new generation has its turn: forget earlier interrupts."""

    def _rest(self) -> None:  # noqa: B027  most runtimes have nothing to do here
        """The turn of this thread is over: let go of what it holds for computing."""

    @abstractmethod
    def _interrupt(self) -> None:
        """Stop computing soon. Called from any thread, also when nothing runs."""

    @abstractmethod
    def _free(self) -> None:
        """Give back all memory. Called once."""


def _next_size(tokens: int) -> int:
    """The power of two that holds `tokens`, at least 1,024."""
    return max(1024, 1 << (tokens - 1).bit_length())


def _row_bytes(logits: Copied | None) -> bytes:
    return b"" if logits is None else bytes(logits.data.astype("<f4").tobytes())


def _row_of(data: bytes) -> Copied | None:
    if not data:
        return None
    import numpy

    row = numpy.frombuffer(data, "<f4").astype("float32")
    return Copied(row, row.nbytes)
