"""A reply on its way: iterate for text, ask for the whole when it has ended, stop it when you have seen enough."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from ..backends.base import FinishReason, Timings, Token
from ..backends.cancel import Cancel
from .reply import Reply, Usage
from .thinking import Kind, ThinkingSplitter

_NO_TIME = Timings(0, 0, 0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a reply: `kind` is "text" or "thinking"."""

    kind: Kind
    text: str


class Stream:
    """An iterator over the text of one reply.

    `pieces()` gives the thinking too. `cancel()` may come from any thread. `reply` is the finished `Reply`; asking
    for it reads the stream to its end. Leaving a `with` block, or dropping the stream, stops the generation.
    """

    def __init__(
        self,
        tokens: Iterator[Token],
        cancel: Cancel,
        *,
        context: int,
        model: str,
        thinking_opened: bool = False,
        on_end: Callable[[Stream], None] | None = None,
    ) -> None:
        self._tokens = tokens
        self._cancel = cancel
        self._context = context
        self._model = model
        self._splitter = ThinkingSplitter(opened=thinking_opened)
        self._on_end = on_end
        self._shown: dict[Kind, list[str]] = {"text": [], "thinking": []}
        self._raw: list[str] = []
        self._finish: FinishReason | None = None
        self._timings: Timings | None = None
        self._reply: Reply | None = None
        self.ids: list[int] = []
        self._iterator = self._read()

    @property
    def raw(self) -> str:
        """What the model wrote so far, markers and thinking included."""
        return "".join(self._raw)

    @property
    def ended(self) -> bool:
        """Whether the reply is complete, was stopped, or failed."""
        return self._reply is not None

    @property
    def reply(self) -> Reply:
        """The whole reply. Reads to the end if that has not happened yet."""
        if self._reply is None:
            for _ in self._iterator:
                pass
            self._end()  # a stream that was closed before it was first read has not ended itself
        assert self._reply is not None
        return self._reply

    def pieces(self) -> Iterator[Piece]:
        """Text and thinking in the order the model writes them."""
        return self._iterator

    def cancel(self) -> None:
        """Stop within one token, or in the middle of the prefill. What was written so far stays."""
        self._cancel.set()

    def close(self) -> None:
        """Stop and let go of the model."""
        self._iterator.close()
        if self._reply is None:
            self._end()

    def __iter__(self) -> Iterator[str]:
        for piece in self._iterator:
            if piece.kind == "text":
                yield piece.text

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> Generator[Piece]:
        try:
            for token in self._tokens:
                self.ids += token.ids
                if token.text:
                    self._raw.append(token.text)
                    yield from self._show(self._splitter.push(token.text))
                if token.finish_reason is not None:
                    self._finish, self._timings = token.finish_reason, token.timings
                    yield from self._show(self._splitter.finish())
        finally:
            if isinstance(self._tokens, Generator):
                self._tokens.close()
            self._end()

    def _show(self, parts: Iterator[tuple[Kind, str]]) -> Iterator[Piece]:
        for kind, text in parts:
            self._shown[kind].append(text)
            yield Piece(kind, text)

    def _end(self) -> None:
        if self._reply is not None:
            return
        timings = self._timings or _NO_TIME
        completion = timings.completion_tokens or len(self.ids)
        self._reply = Reply(
            "".join(self._shown["text"]),
            thinking="".join(self._shown["thinking"]).strip(),
            usage=Usage(timings.prompt_tokens, timings.cached_tokens, completion, self._context),
            timings=timings,
            finish_reason=self._finish or "cancelled",
            model=self._model,
        )
        if self._on_end is not None:
            self._on_end(self)
