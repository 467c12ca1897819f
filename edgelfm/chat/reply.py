"""What comes back from a chat: the text, and what it took to make it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..backends.base import FinishReason, Timings, TokenLogprob
from ..units import format_seconds
from .tool_calls import ToolCall


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one reply."""

    prompt_tokens: int  # 0 where a server does not say
    cached_tokens: int  # of the prompt, already in the model's state: they cost nothing
    completion_tokens: int  # thinking included
    context: int  # tokens the model can hold, 0 where a server does not say

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together: what of the context is used now."""
        return self.prompt_tokens + self.completion_tokens


class Reply(str):
    """The answer as a string that knows more about itself.

    `thinking` is what the model thought before it answered, `usage` the tokens, `timings` the seconds,
    `finish_reason` why it ended: "stop" (it was done), "length" (`max_tokens` or the context was reached) or
    "cancelled". `logprobs` says how likely each token was, if that was asked for: one for every token the model wrote,
    thinking and markers included, so that their pieces join to more than the text. Behind a stop string they go on to
    the end of the token that completed it. `tool_calls` are the tools that a server says the model wants called.
    """

    thinking: str
    usage: Usage
    timings: Timings
    finish_reason: FinishReason
    model: str
    logprobs: tuple[TokenLogprob, ...]
    tool_calls: tuple[ToolCall, ...]

    def __new__(
        cls,
        text: str,
        *,
        thinking: str,
        usage: Usage,
        timings: Timings,
        finish_reason: FinishReason,
        model: str,
        logprobs: tuple[TokenLogprob, ...] = (),
        tool_calls: tuple[ToolCall, ...] = (),
    ) -> Reply:
        """Make the string and attach what is known about it."""
        reply = super().__new__(cls, text)
        reply.thinking = thinking
        reply.usage = usage
        reply.timings = timings
        reply.finish_reason = finish_reason
        reply.model = model
        reply.logprobs = logprobs
        reply.tool_calls = tool_calls
        return reply

    @property
    def text(self) -> str:
        """The answer as a plain `str`."""
        return str.__str__(self)

    def summary(self) -> str:
        """One line: speed, time to first token, context used."""
        decode = self.timings.decode_tokens_per_second
        parts = [f"{self.usage.completion_tokens} tokens"]
        if decode is not None:
            parts.append(f"{decode:.1f} tokens/s")
        parts.append(f"first token after {format_seconds(self.timings.first_token_seconds)}")
        cached = f" ({self.usage.cached_tokens} cached)" if self.usage.cached_tokens else ""
        if self.usage.prompt_tokens:
            parts.append(f"prompt {self.usage.prompt_tokens}{cached}")
        if self.usage.prompt_tokens and self.usage.context:
            parts.append(f"context {self.usage.total_tokens}/{self.usage.context}")
        if self.finish_reason != "stop":
            parts.append(self.finish_reason)
        return " · ".join(parts)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .html import reply_bundle

        return reply_bundle(self)

    def __reduce__(self) -> str | tuple[object, ...]:
        return _rebuild, (self.text, dict(vars(self)))


def _rebuild(text: str, known: dict[str, Any]) -> Reply:
    reply = str.__new__(Reply, text)
    vars(reply).update(known)
    return reply
