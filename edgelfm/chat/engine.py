"""One loaded model with its template and preset: from messages to a stream. Conversations and `Model` stand on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from ..backends.base import Session
from ..backends.cancel import Cancel
from ..errors import ContextExceeded, RequestError, TemplateError
from ..models.entry import ModelEntry
from .messages import Message
from .options import Options, ReplyOptions, read_options, token_biases
from .prompt import Prompt, PromptBuilder
from .stream import Stream, Written
from .template import CHATML, ChatTemplate
from .thinking import OPEN

#: What to do when a prompt is longer than the context: say so, or forget the oldest turns.
Overflow = Literal["error", "drop_oldest"]
_ROOM_FOR_REPLY = 256  # tokens kept free when old turns are dropped and no `max_tokens` was given


class Engine:
    """What all conversations with one model share."""

    def __init__(self, session: Session, model: ModelEntry, *, chat_template: str | None = None) -> None:
        self.session = session
        self.model = model
        self.template = self._compile(chat_template)
        self._prompts = PromptBuilder(session.tokenize, session.markers)

    def _compile(self, own: str | None) -> ChatTemplate | None:
        source = own or self.session.chat_template
        if source is None and self.model.prompt_format != "none":
            source = CHATML
        return ChatTemplate(source, self.session.special_tokens()) if source else None

    def prompt(self, messages: Sequence[Message], earlier: Prompt) -> Prompt:
        """`messages` as the model wants to see them. Raises `TemplateError`."""
        if self.template is None:
            raise TemplateError(
                f"{self.model.name} is a base model without a chat template",
                hint="use lfm.complete(text), or load an Instruct model",
            )
        return self._prompts.build(self.template.render(self._prompts.harmless(messages)), earlier)

    def options(self, given: ReplyOptions) -> Options:
        """The model's preset with what the caller changed."""
        return read_options(self.model.sampling, given)

    def fit(
        self, messages: list[Message], earlier: Prompt, options: Options, overflow: Overflow
    ) -> tuple[list[Message], Prompt]:
        """The messages that fit the context, and their prompt.

        With `overflow="drop_oldest"` whole turns go, oldest first; the system prompt and the last turn stay.
        Raises `ContextExceeded` with both lengths if it does not fit.
        """
        if overflow not in ("error", "drop_oldest"):
            raise RequestError(f"overflow is {overflow!r}", hint='use "error" or "drop_oldest"')
        prompt = self.prompt(messages, earlier)
        context = self.session.context
        if overflow == "drop_oldest":
            limit = context - min(options.max_tokens or _ROOM_FOR_REPLY, context // 2)
            while len(prompt.ids) > limit and (shorter := _without_oldest_turn(messages)) is not None:
                messages = shorter
                prompt = self.prompt(messages, earlier)
        if len(prompt.ids) >= context:
            bigger = 1 << len(prompt.ids).bit_length()
            network = self.model.architecture
            possible = network is None or bigger <= network.context_supported
            longer = f"load with context={bigger}" if possible else "shorten the text"
            forget = ', or let old turns go with overflow="drop_oldest"' if overflow == "error" else ""
            raise ContextExceeded(
                f"the prompt has {len(prompt.ids)} tokens and the context holds {context}",
                prompt_tokens=len(prompt.ids),
                context=context,
                hint=longer + forget,
            )
        return messages, prompt

    def start(self, prompt: Prompt, options: Options, on_end: Callable[[Written], None] | None = None) -> Stream:
        """Begin to generate. Nothing is computed before the stream is read."""
        cancel = Cancel()
        tokens = self.session.generate(
            prompt.ids,
            options.sampling,
            max_tokens=options.max_tokens,
            stop=options.stop,
            seed=options.seed,
            logit_bias=token_biases(options.logit_bias, self.session.tokenize),
            logprobs=options.logprobs,
            cancel=cancel,
        )
        return Stream(
            tokens,
            cancel,
            context=self.session.context,
            model=self.model.id,
            thinking_opened=prompt.text.rstrip().endswith(OPEN),
            on_end=on_end,
        )

    def complete(self, text: str, options: Options) -> Stream:
        """Continue `text` as it stands, without a template, markers in it read as text."""
        bos = self.session.special_tokens().get("bos_token", "")
        ids = (self.session.tokenize(bos) if bos else []) + self.session.tokenize(text, special=False)
        return self.start(Prompt(text, tuple(ids)), options)


def _without_oldest_turn(messages: list[Message]) -> list[Message] | None:
    """The messages without the first user message and what answered it; None if only one turn is left."""
    start = 1 if messages and messages[0].role == "system" else 0
    later = [i for i, message in enumerate(messages) if message.role == "user" and i > start]
    return messages[:start] + messages[later[0] :] if later else None
