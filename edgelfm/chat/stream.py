"""A reply on its way: iterate for text, ask for the whole when it has ended, stop it when you have seen enough."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

from ..backends.base import FinishReason, Timings, Token, TokenLogprob
from ..backends.cancel import Cancel
from .reply import Reply, Usage
from .thinking import Kind, ThinkingSplitter
from .tool_calls import ToolCall, from_server

_NO_TIME = Timings(0, 0, 0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a reply: `kind` is "text" or "thinking"."""

    kind: Kind
    text: str


@dataclass(slots=True)
class Written:
    """What a model has written so far. `raw` joins to its text as it stands, markers and thinking included."""

    context: int
    model: str
    splitter: ThinkingSplitter
    on_end: Callable[[Written], None] | None
    raw: list[str] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)  # one for each of `ids`, if asked for
    text: list[str] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)
    tool_calls: tuple[ToolCall, ...] = ()
    prompt_tokens: int = 0  # 0 where only the server counts them
    finish: FinishReason = "cancelled"
    failed: bool = False  # an error ended it
    timings: Timings | None = None
    reply: Reply | None = None

    def show(self, parts: Iterator[tuple[Kind, str]]) -> Iterator[Piece]:
        """Keep the parts and pass them on."""
        for kind, text in parts:
            (self.text if kind == "text" else self.thinking).append(text)
            yield Piece(kind, text)

    @property
    def seen(self) -> int:
        """Tokens of prompt and reply that the model has seen; 0 if nobody says."""
        if self.prompt_tokens or self.timings is None:
            return self.prompt_tokens + len(self.ids)
        return self.timings.prompt_tokens and self.timings.prompt_tokens + self.timings.completion_tokens

    def end(self) -> None:
        """Make the reply of what is here. Only the first call counts."""
        if self.reply is not None:
            return
        timings = self.timings or _NO_TIME
        completion = timings.completion_tokens or len(self.ids)
        self.reply = Reply(
            "".join(self.text),
            thinking="".join(self.thinking).strip(),
            usage=Usage(timings.prompt_tokens, timings.cached_tokens, completion, self.context),
            timings=timings,
            finish_reason=self.finish,
            model=self.model,
            logprobs=tuple(self.logprobs),
            tool_calls=self.tool_calls,
        )
        if self.on_end is not None:
            self.on_end(self)


class Stream:
    """An iterator over the text of one reply.

    `pieces()` gives the thinking too. `cancel()` may come from any thread. `reply` is the finished `Reply`; asking for
    it reads the stream to its end. Leaving a `with` block, or dropping the stream, stops the generation and lets the
    next in line have the model.
    """

    def __init__(
        self,
        tokens: Iterator[Token],
        cancel: Cancel,
        *,
        context: int,
        model: str,
        prompt_tokens: int = 0,
        thinking_opened: bool = False,
        on_end: Callable[[Written], None] | None = None,
    ) -> None:
        self._cancel = cancel
        splitter = ThinkingSplitter(opened=thinking_opened)
        self._written = Written(context, model, splitter, on_end, prompt_tokens=prompt_tokens)
        # The generator must not know this object: in a circle of references, a dropped stream would keep the model.
        self._iterator = _read(tokens, self._written)

    @property
    def ended(self) -> bool:
        """Whether the reply is complete, was stopped, or failed."""
        return self._written.reply is not None

    @property
    def reply(self) -> Reply:
        """The whole reply. Reads to the end if that has not happened yet."""
        if self._written.reply is None:
            for _ in self._iterator:
                pass
            self._written.end()  # a stream that was closed before it was first read has not ended itself
        assert self._written.reply is not None
        return self._written.reply

    def pieces(self) -> Iterator[Piece]:
        """Text and thinking in the order the model writes them."""
        return self._iterator

    def cancel(self) -> None:
        """Stop within one token, or in the middle of the prefill. What was written so far stays."""
        self._cancel.set()

    def close(self) -> None:
        """Stop and let go of the model."""
        self._iterator.close()
        self._written.end()

    def __iter__(self) -> Iterator[str]:
        for piece in self._iterator:
            if piece.kind == "text":
                yield piece.text

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _read(tokens: Iterator[Token], written: Written) -> Generator[Piece]:
    try:
        for token in tokens:
            written.ids += token.ids
            written.logprobs += token.logprobs
            if token.text:
                written.raw.append(token.text)
                yield from written.show(written.splitter.push(token.text))
            if token.finish_reason is not None:
                written.finish, written.timings = token.finish_reason, token.timings
                written.tool_calls = from_server(token.tool_calls)
                yield from written.show(written.splitter.finish())
    except Exception:
        written.failed = True
        raise
    finally:
        if isinstance(tokens, Generator):
            tokens.close()
        written.end()
