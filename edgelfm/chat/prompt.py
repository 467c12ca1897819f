"""From rendered text to token ids.

A reply's own tokens are taken as the model sampled them: encoding its text again may give other tokens, and then
nothing of the model's state would match. Where they belong is seen in the text itself, so a prompt depends on its
messages alone: an edit, a fork, a saved conversation and dropped turns give the tokens that the model has seen.
"""

from __future__ import annotations

import functools
import re
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..errors import RequestError
from .messages import Message

#: A noncharacter that no text should contain. Put inside a marker that somebody typed, it keeps the tokenizer from
#: reading it as the real one.
_SPLIT = "\ufdd0"
_CHECKED_REPLIES = 1024  # whose ids are known to be right
_CACHED_CHARACTERS = 1 << 20  # of text whose ids are kept: the longest context several times, in 2 to 3 MB


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as text (with split marks) and as the token ids that stand for it."""

    text: str
    ids: tuple[int, ...]


class PromptBuilder:
    """Turns rendered text into a `Prompt`. Safe to use from several threads."""

    def __init__(
        self,
        tokenize: Callable[[str], list[int]],
        detokenize: Callable[[Sequence[int]], str],
        markers: Callable[[], Iterable[str]],
    ) -> None:
        self._encoded = _Encoded(tokenize)
        self._stands_for = _memory_of(detokenize)
        self._markers = markers
        self._pattern: re.Pattern[str] | None = None

    def build(self, rendered: str, replies: Sequence[Message], opening: str) -> Prompt:
        """`rendered` as a prompt, with the ids of `replies` where their raw text stands after an `opening`.

        `replies` are all assistant messages of the prompt, in order. One whose text the template changed, or whose ids
        are of another model, is encoded like everything else. That is done turn by turn, and remembered.
        """
        turn = self._turn(opening)
        ids: list[int] = []
        at = 0
        for start, reply in _places(rendered, replies, opening):
            if reply.ids and self._stands_for(reply.ids, reply.written):
                ids += self._encode(rendered[at:start], turn)
                ids += reply.ids
                at = start + len(reply.written)
        ids += self._encode(rendered[at:], turn)
        return Prompt(rendered, tuple(ids))

    def harmless(self, messages: Sequence[Message]) -> list[Message]:
        """The messages with every marker that a person or a tool wrote made into ordinary text.

        Otherwise `<|im_end|>` in a pasted document would end the user's turn and let the document speak as the system.
        """
        return [m if m.role == "assistant" else replace(m, content=self._split_markers(m.content)) for m in messages]

    def _split_markers(self, text: str) -> str:
        return self._marker().sub(lambda match: match[0] + _SPLIT, text.replace(_SPLIT, ""))

    def _marker(self) -> re.Pattern[str]:
        """Matches the first character of a marker, so that of two that overlap both are found."""
        if self._pattern is None:
            markers = [re.escape(marker) for marker in self._markers() if len(marker) > 1]
            self._pattern = re.compile(rf"(?=({'|'.join(sorted(markers, key=len, reverse=True))})).", re.DOTALL)
            if not markers:
                self._pattern = re.compile(r"(?!)")
        return self._pattern

    def _turn(self, opening: str) -> str:
        """The marker a turn begins with. The tokenizer reads no token across it, so text may be cut there."""
        match = self._marker().match(opening)
        return match[1] if match else ""

    def _encode(self, text: str, turn: str) -> Iterator[int]:
        first, *others = text.split(turn) if turn else [text]
        for part in (first, *(turn + other for other in others)):
            yield from self._encoded(part)


def _places(rendered: str, replies: Sequence[Message], opening: str) -> Iterator[tuple[int, Message]]:
    """Where in `rendered` a reply stands as the model wrote it.

    Nobody but the template and the model can write an opening: markers that people type are split.
    """
    if not opening:
        return
    # One opening for each reply and one for the reply to come. Otherwise the template leaves some out.
    all_opened = rendered.count(opening) == len(replies) + 1
    number, at = 0, rendered.find(opening)
    while at >= 0 and number < len(replies):
        at += len(opening)
        candidates = range(number, number + 1 if all_opened else len(replies))
        here = next((i for i in candidates if rendered.startswith(replies[i].written, at)), None)
        if here is not None:
            yield at, replies[here]
            at += len(replies[here].written)
            number = here + 1
        elif all_opened:
            number += 1
        at = rendered.find(opening, at)


def _memory_of(detokenize: Callable[[Sequence[int]], str]) -> Callable[[tuple[int, ...], str], bool]:
    """Whether ids stand for a text, asked once for each reply."""

    @functools.lru_cache(_CHECKED_REPLIES)
    def stands_for(ids: tuple[int, ...], text: str) -> bool:
        try:
            return detokenize(ids) == text
        except RequestError:  # ids that this vocabulary does not have
            return False

    return stands_for


class _Encoded:
    """Ids of pieces of text; the latest are kept."""

    def __init__(self, tokenize: Callable[[str], list[int]]) -> None:
        self._tokenize = tokenize
        self._kept: OrderedDict[str, array[int]] = OrderedDict()
        self._characters = 0
        self._lock = threading.Lock()

    def __call__(self, text: str) -> array[int]:
        with self._lock:
            if (known := self._kept.get(text)) is not None:
                self._kept.move_to_end(text)
                return known
        ids = array("i", (token for part in text.split(_SPLIT) if part for token in self._tokenize(part)))
        with self._lock:
            if text not in self._kept:
                self._kept[text] = ids
                self._characters += len(text)
            while self._characters > _CACHED_CHARACTERS:
                self._characters -= len(self._kept.popitem(last=False)[0])
        return ids
