"""What people hand to a chat, made into messages. Knows nothing of templates or tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ..errors import RequestError
from .tool_calls import ToolCall

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[str, ...] = get_args(Role)


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `raw` is an assistant's reply exactly as the model wrote it, thinking and markers included.

    `ids` are the tokens of `raw` as the model sampled them; encoding the text again may give others. None if there are
    none that stand for it: after a stop string, or when the text comes from elsewhere. `wire` is what a server is given
    in its place where that is more than text: parts with pictures, calls of tools, results of several of them.
    """

    role: Role
    content: str
    raw: str | None = None
    ids: tuple[int, ...] | None = field(default=None, repr=False)
    wire: tuple[Mapping[str, Any], ...] | None = field(default=None, repr=False, hash=False)

    @property
    def written(self) -> str:
        """The raw text if there is one, else the content."""
        return self.content if self.raw is None else self.raw

    def for_template(self) -> dict[str, str]:
        """What the chat template sees. It gets the raw text, for templates decide themselves what of it to keep."""
        return {"role": self.role, "content": self.written}

    def for_server(self) -> list[dict[str, Any]]:
        """What a server sees: the answer without its thinking, for its template knows what of that to keep."""
        if self.wire:
            return [dict(one) for one in self.wire]
        # Half a surrogate pair, as a file may hold, has no UTF-8 form.
        return [{"role": self.role, "content": self.content.encode("utf-8", "replace").decode()}]

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .html import message_bundle

        return message_bundle(self)


#: A text from the user, a list of messages, or a list of `{"role": …, "content": …}`.
Messages = str | Sequence[Message | Mapping[str, Any]]
#: What is said in a turn: a text. For a server also a message as it takes it, parts of one, or several messages.
Question = str | Mapping[str, Any] | Sequence[Mapping[str, Any]]


def read_messages(messages: Messages, *, system: str | None = None, beyond_text: bool = False) -> list[Message]:
    """Check and copy `messages`, with `system` put first. Raises `RequestError` naming the wrong one.

    `beyond_text` also takes what servers take: parts, calls of tools.
    """
    if isinstance(messages, str):
        read = [Message("user", messages)]
    else:
        read = [_read(message, index, beyond_text) for index, message in enumerate(messages)]
    if system is not None:
        if read and read[0].role == "system":
            raise RequestError(
                "there are two system prompts: `system=` and the first message", hint="leave one of them out"
            )
        read.insert(0, Message("system", system))
    if not any(message.role != "system" for message in read):
        raise RequestError("there is nothing to answer", hint='give a text, as in lfm.chat("Why is the sky blue?")')
    return read


def read_question(given: object, example: str, *, beyond_text: bool = False) -> Message:
    """What was said in a turn as one message. Raises `RequestError`."""
    if isinstance(given, str):
        return Message("user", given)
    if beyond_text and isinstance(given, Mapping):
        return _read(given, 0, True)
    if beyond_text and isinstance(given, Sequence) and given and all(isinstance(one, Mapping) for one in given):
        if not all("role" in one for one in given):
            return _read({"role": "user", "content": list(given)}, 0, True)
        read = [_read(one, index, True) for index, one in enumerate(given)]
        wire = tuple(one for message in read for one in message.for_server())
        return Message(read[-1].role, "\n".join(message.content for message in read), wire=wire)
    raise RequestError(f"a message is text, not {type(given).__name__}", hint=f"as in {example}")


def calling(text: Sequence[str], calls: Sequence[ToolCall]) -> tuple[Mapping[str, Any], ...] | None:
    """What a server is given again of a reply that called tools. None for a reply that is text alone."""
    if not calls:
        return None
    made = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}
        for call in calls
    ]
    return ({"role": "assistant", "content": "".join(text) or None, "tool_calls": made},)


def _read(message: Message | Mapping[str, Any], index: int, beyond_text: bool) -> Message:
    if isinstance(message, Message):
        return message
    example = '{"role": "user", "content": "Hello"}'
    if not isinstance(message, Mapping):
        raise RequestError(f"message {index} is a {type(message).__name__}", hint=f"write it as {example}")
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise RequestError(f"message {index} has the role {role!r}", hint=f"use one of {', '.join(ROLES)}")
    if beyond_text and (not isinstance(content, str) or set(message) > {"role", "content"}):
        return Message(role, _shown(content, message, index), wire=(dict(message),))
    if not isinstance(content, str):
        raise RequestError(
            f"the content of message {index} is {type(content).__name__}, not text", hint=f"write it as {example}"
        )
    return Message(role, content)


def _shown(content: Any, message: Mapping[str, Any], index: int) -> str:
    """The text in what a server is given; whatever else is there is named: `[image_url]`."""
    if isinstance(content, str):
        return content
    if content is None and message.get("tool_calls"):
        return ""
    if not isinstance(content, Sequence) or not all(isinstance(part, Mapping) for part in content):
        raise RequestError(
            f"the content of message {index} is {type(content).__name__}, neither text nor a list of parts",
            hint='write parts as {"type": "text", "text": "…"} and {"type": "image_url", "image_url": {"url": "…"}}',
        )
    return "\n".join(str(part["text"]) if "text" in part else f"[{part.get('type', 'part')}]" for part in content)
