"""What people hand to a chat, made into messages. Knows nothing of templates or tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ..errors import RequestError

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[str, ...] = get_args(Role)


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `raw` is an assistant's reply exactly as the model wrote it, thinking and markers included.

    `ids` are the tokens of `raw` as the model sampled them; encoding the text again may give others. None if there are
    none that stand for it: after a stop string, or when the text comes from elsewhere.
    """

    role: Role
    content: str
    raw: str | None = None
    ids: tuple[int, ...] | None = field(default=None, repr=False)

    @property
    def written(self) -> str:
        """The raw text if there is one, else the content."""
        return self.content if self.raw is None else self.raw

    def for_template(self) -> dict[str, str]:
        """What the chat template sees. It gets the raw text, for templates decide themselves what of it to keep."""
        return {"role": self.role, "content": self.written}

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .html import message_bundle

        return message_bundle(self)


#: A text from the user, a list of messages, or a list of `{"role": …, "content": …}`.
Messages = str | Sequence[Message | Mapping[str, Any]]


def read_messages(messages: Messages, *, system: str | None = None) -> list[Message]:
    """Check and copy `messages`, with `system` put first. Raises `RequestError` naming the wrong one."""
    read = [Message("user", messages)] if isinstance(messages, str) else [_read(m, i) for i, m in enumerate(messages)]
    if system is not None:
        if read and read[0].role == "system":
            raise RequestError(
                "there are two system prompts: `system=` and the first message", hint="leave one of them out"
            )
        read.insert(0, Message("system", system))
    if not any(message.role != "system" for message in read):
        raise RequestError("there is nothing to answer", hint='give a text, as in lfm.chat("Why is the sky blue?")')
    return read


def _read(message: Message | Mapping[str, Any], index: int) -> Message:
    if isinstance(message, Message):
        return message
    example = '{"role": "user", "content": "Hello"}'
    if not isinstance(message, Mapping):
        raise RequestError(f"message {index} is a {type(message).__name__}", hint=f"write it as {example}")
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise RequestError(f"message {index} has the role {role!r}", hint=f"use one of {', '.join(ROLES)}")
    if not isinstance(content, str):
        raise RequestError(
            f"the content of message {index} is {type(content).__name__}, not text", hint=f"write it as {example}"
        )
    return Message(role, content)
