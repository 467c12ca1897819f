"""What a conversation needs of a model, wherever that runs: `Engine` for one that runs here, `RemoteEngine` for one
behind a server.

The first turns messages into tokens, the second sends them as they are; from the stream on, both are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ..models.entry import ModelEntry
from .messages import Message
from .options import Options, ReplyOptions
from .stream import Stream, Written

#: What to do when a prompt is longer than the context: say so, or forget the oldest turns.
Overflow = Literal["error", "drop_oldest"]


@dataclass(frozen=True, slots=True)
class LoadedAs:
    """What to give `load()` to have this model again. None where anything will do.

    The backend of a model behind a server is the address of that server; `connect()` takes it.
    """

    name: str
    quantization: str | None = None
    backend: str | None = None
    context: int | None = None  # tokens
    adapter: str | None = None  # path of a LoRA beside it


class Answering(Protocol):
    """One model with its preset: from messages to a stream."""

    @property
    def model(self) -> ModelEntry:
        """What is known about the model."""
        ...

    @property
    def loaded_as(self) -> LoadedAs | None:
        """How to have it again."""
        ...

    @property
    def context(self) -> int:
        """Tokens of prompt and reply together, 0 if nobody says."""
        ...

    @property
    def beyond_text(self) -> bool:
        """Whether messages may hold more than text: pictures, results of tools."""
        ...

    def options(self, given: ReplyOptions) -> Options:
        """The model's preset with what the caller changed. Raises `RequestError`."""
        ...

    def answer(
        self,
        messages: Sequence[Message],
        options: Options,
        overflow: Overflow = "error",
        on_end: Callable[[Written], None] | None = None,
    ) -> Stream:
        """A stream of the answer; nothing is computed before it is read.

        `on_end` is told what was written. Raises `ContextExceeded`, `TemplateError`, `RequestError`.
        """
        ...

    def complete(self, text: str, options: Options) -> Stream:
        """Continue `text` as it stands."""
        ...
