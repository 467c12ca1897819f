"""From rendered text to token ids, growing at the end.

A reply's own tokens are kept as the model sampled them: encoding its text again may give other tokens, and then
nothing of the model's state would match. So only what is new after the last reply is encoded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from .messages import Message

#: A noncharacter that no text should contain. Put inside a marker that somebody typed, it keeps the tokenizer from
#: reading it as the real one.
_SPLIT = "\ufdd0"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as text (with split marks) and as the token ids that stand for it."""

    text: str = ""
    ids: tuple[int, ...] = ()

    def with_reply(self, raw: str, ids: Sequence[int]) -> Prompt:
        """The prompt and, after it, what the model wrote."""
        return Prompt(self.text + raw, (*self.ids, *ids))


class PromptBuilder:
    """Turns rendered text into a `Prompt`, reusing the ids of an earlier one that it begins with."""

    def __init__(self, tokenize: Callable[[str], list[int]], markers: Callable[[], Iterable[str]]) -> None:
        self._tokenize = tokenize
        self._markers = markers
        self._pattern: re.Pattern[str] | None = None

    def build(self, rendered: str, earlier: Prompt) -> Prompt:
        """`rendered` as a prompt. Encodes only what follows `earlier`, if it begins with that."""
        if earlier.text and rendered.startswith(earlier.text):
            return Prompt(rendered, (*earlier.ids, *self._encode(rendered[len(earlier.text) :])))
        return Prompt(rendered, tuple(self._encode(rendered)))

    def harmless(self, messages: Sequence[Message]) -> list[Message]:
        """The messages with every marker that a person or a tool wrote made into ordinary text.

        Otherwise `<|im_end|>` in a pasted document would end the user's turn and let the document speak as the system.
        """
        return [m if m.role == "assistant" else replace(m, content=self._split_markers(m.content)) for m in messages]

    def _split_markers(self, text: str) -> str:
        text = text.replace(_SPLIT, "")
        if self._pattern is None:
            markers = sorted(
                (re.escape(marker) for marker in self._markers() if len(marker) > 1), key=len, reverse=True
            )
            self._pattern = re.compile("|".join(markers) or r"(?!)")
        return self._pattern.sub(lambda match: match[0][0] + _SPLIT + match[0][1:], text)

    def _encode(self, text: str) -> list[int]:
        return [token for part in text.split(_SPLIT) if part for token in self._tokenize(part)]
