"""One model behind a server, with its preset: from messages to a stream. See `answering.Answering`.

The server knows the template and the tokens; what it does not understand here it says itself. Tools, schemas, pictures
and whatever else a server takes are passed on as they are given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..backends.base import Token
from ..backends.cancel import Cancel
from ..backends.remote.body import Wish
from ..backends.remote.session import RemoteSession
from ..errors import ContextExceeded, RequestError
from ..models.entry import ModelEntry
from .answering import LoadedAs, Overflow
from .messages import Message
from .options import Options, ReplyOptions, read_options
from .stream import Stream, Written


class ServerOptions(ReplyOptions, total=False):
    """Keywords of a reply that only servers know. They are passed on; the server does what it does with them."""

    tools: Sequence[Mapping[str, Any]] | None  # `{"name": …, "description": …, "parameters": …}` each
    tool_choice: str | Mapping[str, Any] | None  # "auto", "none", "required", or one function
    response_format: Any  # `{"type": "json_schema", …}`, a JSON schema, or a pydantic model
    extra: Mapping[str, Any] | None  # whatever else this server understands


_PASSED = ("tools", "tool_choice", "response_format", "extra")


class RemoteEngine:
    """What all conversations with one model of a server share."""

    beyond_text = True

    def __init__(self, session: RemoteSession, model: ModelEntry, *, preset_known: bool) -> None:
        """`preset_known` says whether `model.sampling` is that model's; otherwise the server decides."""
        self.session = session
        self.model = model
        self.preset_known = preset_known
        self.loaded_as = LoadedAs(session.model.id, backend=session.address.root)

    @property
    def context(self) -> int:
        """Tokens of prompt and reply together, 0 if the server does not say."""
        return self.session.context

    def options(self, given: ReplyOptions) -> Options:
        """The model's preset with what the caller changed, and what is passed on."""
        every: Mapping[str, Any] = given
        passed = {name: every[name] for name in _PASSED if every.get(name) is not None}
        rest = {name: value for name, value in every.items() if name not in _PASSED}
        unknown = set(rest) - set(ReplyOptions.__annotations__)
        if unknown:
            name = sorted(unknown)[0]
            raise RequestError(
                f"{name!r} is not an option of a reply", hint=f"pass it on as it is: extra={{{name!r}: {rest[name]!r}}}"
            )
        return replace(read_options(self.model.sampling, rest), passed=_checked(passed))  # type: ignore[arg-type]

    def answer(
        self,
        messages: Sequence[Message],
        options: Options,
        overflow: Overflow = "error",
        on_end: Callable[[Written], None] | None = None,
    ) -> Stream:
        """A stream of the answer. The server is asked when the stream is read, and says then whether it fits.

        With `overflow="drop_oldest"` a prompt that does not fit is sent again without the older half of its turns.
        """
        if overflow not in ("error", "drop_oldest"):
            raise RequestError(f"overflow is {overflow!r}", hint='use "error" or "drop_oldest"')
        cancel, wish = Cancel(), self._wish(options)
        first = self.session.chat(_wire(messages), wish, cancel)
        tokens = first if overflow == "error" else self._shorter(list(messages), wish, cancel, first)
        return self._stream(tokens, cancel, on_end)

    def complete(self, text: str, options: Options) -> Stream:
        """Continue `text` as it stands."""
        cancel = Cancel()
        return self._stream(self.session.complete(text, self._wish(options), cancel), cancel, None)

    def _shorter(self, messages: list[Message], wish: Wish, cancel: Cancel, tokens: Iterator[Token]) -> Iterator[Token]:
        while True:
            try:
                yield from tokens
            except ContextExceeded:  # raised before the first token, if at all
                start = 1 if messages[0].role == "system" else 0
                turns = [place for place, message in enumerate(messages) if message.role == "user" and place > start]
                if not turns:
                    raise
                messages = [*messages[:start], *messages[turns[len(turns) // 2] :]]
                tokens = self.session.chat(_wire(messages), wish, cancel)
            else:
                return

    def _stream(self, tokens: Iterator[Token], cancel: Cancel, on_end: Callable[[Written], None] | None) -> Stream:
        return Stream(tokens, cancel, context=self.context, model=self.session.model.id, on_end=on_end)

    def _wish(self, options: Options) -> Wish:
        return Wish(
            options.sampling,
            asked=options.asked,
            preset_known=self.preset_known,
            max_tokens=options.max_tokens,
            stop=options.stop,
            seed=options.seed,
            logit_bias=options.logit_bias,
            logprobs=options.logprobs,
            passed=options.passed,
        )


def _wire(messages: Sequence[Message]) -> list[dict[str, Any]]:
    return [one for message in messages for one in message.for_server()]


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is passed on, in the protocol's form. Raises `RequestError` for what could not be written down."""
    extra = given.get("extra") or {}
    if not isinstance(extra, Mapping):
        raise RequestError(f"extra is a {type(extra).__name__}", hint='map names to values: extra={"user": "me"}')
    passed = dict(extra)
    if tools := given.get("tools"):
        passed["tools"] = [_tool(one) for one in tools]
    if choice := given.get("tool_choice"):
        passed["tool_choice"] = choice
    if wanted := given.get("response_format"):
        passed["response_format"] = _format(wanted)
    return passed


def _tool(given: Any) -> Any:
    """A tool as the protocol wants it; the flat form of Liquid AI's examples is wrapped."""
    if not isinstance(given, Mapping):
        raise RequestError(
            f"a tool is a {type(given).__name__}",
            hint='describe it: {"name": "weather", "description": "…", "parameters": {"type": "object", …}}',
        )
    return dict(given) if "function" in given or "type" in given else {"type": "function", "function": dict(given)}


def _format(given: Any) -> Any:
    """A pydantic model or a bare JSON schema in its envelope; what has one already, as it is."""
    if hasattr(given, "model_json_schema"):
        return _enveloped(given.__name__, given.model_json_schema())
    if not isinstance(given, Mapping):
        raise RequestError(
            f"response_format is a {type(given).__name__}", hint="give a JSON schema, or a pydantic model"
        )
    if given.get("type") in ("text", "json_object", "json_schema", "grammar"):
        return dict(given)
    return _enveloped(str(given.get("title", "reply")), given)


def _enveloped(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": name, "schema": dict(schema), "strict": True}}
