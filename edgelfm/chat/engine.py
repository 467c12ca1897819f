"""One model that runs here, with its template and preset: from messages to tokens to a stream."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence

from ..backends.base import Session
from ..backends.cancel import Cancel
from ..errors import ContextExceeded, RequestError, TemplateError
from ..models.entry import ModelEntry
from .answering import LoadedAs, Overflow
from .messages import Message
from .options import Options, ReplyOptions, read_options, token_biases
from .prompt import Prompt, PromptBuilder
from .stream import Stream, Written
from .template import CHATML, ChatTemplate
from .thinking import OPEN

_DROPPED_AT_ONCE = 4  # so much of the context: a quarter
_ROOM_FOR_REPLY = 256  # tokens kept free when old turns are dropped and no `max_tokens` was given


class Engine:
    """What all conversations with one model share. See `answering.Answering`."""

    beyond_text = False

    def __init__(
        self,
        session: Session,
        model: ModelEntry,
        *,
        chat_template: str | None = None,
        loaded_as: LoadedAs | None = None,
    ) -> None:
        self.session = session
        self.model = model
        self.loaded_as = loaded_as
        self.template = self._compile(chat_template)
        self._prompts = PromptBuilder(session.tokenize, session.detokenize, session.markers)

    @property
    def context(self) -> int:
        """Tokens of prompt and reply together."""
        return self.session.context

    def _compile(self, own: str | None) -> ChatTemplate | None:
        source = own or self.session.chat_template
        if source is None and self.model.prompt_format != "none":
            source = CHATML
        return ChatTemplate(source, self.session.special_tokens()) if source else None

    def prompt(self, messages: Sequence[Message]) -> Prompt:
        """`messages` as the model wants to see them. Raises `TemplateError`."""
        if self.template is None:
            raise TemplateError(
                f"{self.model.name} is a base model without a chat template",
                hint="use lfm.complete(text), or load an Instruct model",
            )
        if any(message.wire for message in messages):
            raise RequestError(
                "a message holds more than text (a picture, calls of tools), as servers take it",
                hint="go on with a server, as in edgelfm.resume(path, edgelfm.connect(…)), or leave that message out",
            )
        rendered = self.template.render(self._prompts.harmless(messages))
        replies = [message for message in messages if message.role == "assistant"]
        return self._prompts.build(rendered, replies, self.template.opening)

    def options(self, given: ReplyOptions) -> Options:
        """The model's preset with what the caller changed."""
        return read_options(self.model.sampling, given)

    def fit(self, messages: Sequence[Message], options: Options, overflow: Overflow) -> Prompt:
        """The prompt for as much of `messages` as the context holds.

        With `overflow="drop_oldest"` the oldest turns are left out; the system prompt and the last turn stay.
        Raises `ContextExceeded` with both lengths if it does not fit.
        """
        if overflow not in ("error", "drop_oldest"):
            raise RequestError(f"overflow is {overflow!r}", hint='use "error" or "drop_oldest"')
        prompt = self.prompt(messages)
        context = self.session.context
        if overflow == "drop_oldest":
            limit = context - min(options.max_tokens or _ROOM_FOR_REPLY, context // 2)
            if len(prompt.ids) > limit:
                prompt = self._shortened(messages, prompt, limit)
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
        return prompt

    def _shortened(self, messages: Sequence[Message], whole: Prompt, limit: int) -> Prompt:
        """The prompt without its oldest turns.

        Turns go by the quarter of the context, not one by one: the beginning changes rarely, and between the changes
        the model's state can be used again.
        """
        step = max(1, limit // _DROPPED_AT_ONCE)
        too_many = -(-(len(whole.ids) - limit) // step) * step  # up to a whole number of steps
        start = 1 if messages[0].role == "system" else 0
        turns = [i for i, message in enumerate(messages) if message.role == "user" and i > start]
        prompts: dict[int, Prompt] = {}

        def dropped(turn: int) -> int:
            prompts[turn] = self.prompt([*messages[:start], *messages[turn:]])
            return len(whole.ids) - len(prompts[turn].ids)

        enough = bisect.bisect_left(turns, too_many, key=dropped) if turns else 0
        if enough == len(turns):  # not even the last turn alone is so short
            return self.prompt([*messages[:start], *messages[turns[-1] :]]) if turns else whole
        return prompts[turns[enough]]

    def answer(
        self,
        messages: Sequence[Message],
        options: Options,
        overflow: Overflow = "error",
        on_end: Callable[[Written], None] | None = None,
    ) -> Stream:
        """Answer `messages`, as far as the context holds them. Raises what `fit` raises."""
        return self.start(self.fit(messages, options, overflow), options, on_end)

    def start(self, prompt: Prompt, options: Options, on_end: Callable[[Written], None] | None = None) -> Stream:
        """Begin to generate. Nothing is computed before the stream is read.

        Whoever wants to know what was written, as a conversation does, will come back to it; so its state is kept.
        """
        cancel = Cancel()
        tokens = self.session.generate(
            prompt.ids,
            options.sampling,
            max_tokens=options.max_tokens,
            stop=options.stop,
            seed=options.seed,
            logit_bias=token_biases(options.logit_bias, self.session.tokenize),
            logprobs=options.logprobs,
            keep=on_end is not None,
            cancel=cancel,
        )
        return Stream(
            tokens,
            cancel,
            context=self.session.context,
            model=self.model.id,
            prompt_tokens=len(prompt.ids),
            thinking_opened=prompt.text.rstrip().endswith(OPEN),
            on_end=on_end,
        )

    def complete(self, text: str, options: Options) -> Stream:
        """Continue `text` as it stands, without a template, markers in it read as text."""
        bos = self.session.special_tokens().get("bos_token", "")
        ids = (self.session.tokenize(bos) if bos else []) + self.session.tokenize(text, special=False)
        return self.start(Prompt(text, tuple(ids)), options)
