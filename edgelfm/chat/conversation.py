"""A conversation: messages that grow turn by turn, and the tokens the model has seen of them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..errors import RequestError
from .engine import Engine, Overflow
from .messages import Message
from .options import ReplyOptions
from .prompt import Prompt
from .reply import Reply
from .stream import Stream, Written

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Conversation:
    """Turns with one model. Only the new part of each turn is evaluated, as long as the history stays as it is.

    One reply at a time: starting another ends the one under way. A reply that was stopped stays as far as it came; one
    that failed leaves the conversation as it was.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        system: str | None = None,
        overflow: Overflow = "error",
        history: Sequence[Message] = (),
    ) -> None:
        self._engine = engine
        self._overflow: Overflow = overflow
        self._system = [Message("system", system)] if system is not None else []
        self._messages = [*self._system, *history]
        self._seen = Prompt()
        self._active: Callable[[], Stream | None] = lambda: None

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation so far, oldest first."""
        return tuple(self._messages)

    @property
    def context_used(self) -> int:
        """Tokens the model has seen of this conversation. `lfm.context` is what it can hold."""
        return len(self._seen.ids)

    def send(self, text: str, **options: Unpack[ReplyOptions]) -> Reply:
        """Say `text` and wait for the answer.

        Raises `ContextExceeded`, `TemplateError`, `RequestError`, `SessionClosed`.
        """
        return self.stream(text, **options).reply

    def stream(self, text: str, **options: Unpack[ReplyOptions]) -> Stream:
        """Say `text` and read the answer as it comes.

        Errors in the request are raised here, before anything is computed.
        """
        if not isinstance(text, str):
            raise RequestError(f"a message is text, not {type(text).__name__}", hint='as in talk.send("Hello")')
        self._stop_active()
        return self._answer([*self._messages, Message("user", text)], options)

    def regenerate(self, **options: Unpack[ReplyOptions]) -> Reply:
        """Answer the last message again. Raises `RequestError` if there is none."""
        self._stop_active()
        question = self._last_question()
        return self._answer(self._messages[: question + 1], options).reply

    def undo(self) -> None:
        """Take back the last message and its answer. Raises `RequestError` if there is none."""
        self._stop_active()
        self._messages = self._messages[: self._last_question()]

    def reset(self) -> None:
        """Forget everything but the system prompt."""
        self._stop_active()
        self._messages = list(self._system)
        self._seen = Prompt()

    def _answer(self, messages: list[Message], given: ReplyOptions) -> Stream:
        options = self._engine.options(given)
        messages, prompt = self._engine.fit(messages, self._seen, options, self._overflow)

        def keep(written: Written) -> None:
            if not written.raw:
                return
            raw = "".join(written.raw)
            self._messages = [*messages, Message("assistant", "".join(written.text), raw)]
            # After a stop string the last tokens say more than the text does, so they do not stand for it.
            exact = not (options.stop and written.finish == "stop")
            self._seen = prompt.with_reply(raw, written.ids) if exact else prompt

        stream = self._engine.start(prompt, options, keep)
        self._active = weakref.ref(stream)  # weak: a stream that nobody reads any more must end
        return stream

    def _last_question(self) -> int:
        for index in range(len(self._messages) - 1, -1, -1):
            if self._messages[index].role == "user":
                return index
        raise RequestError("nothing has been said yet", hint='begin with talk.send("Hello")')

    def _stop_active(self) -> None:
        if (active := self._active()) is not None and not active.ended:
            active.close()
