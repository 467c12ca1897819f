"""Tells a model's thinking from its answer while both stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

OPEN, CLOSE = "<think>", "</think>"
Kind = Literal["text", "thinking"]


class ThinkingSplitter:
    """Takes text as it comes and says of every part whether it is thinking or answer.

    Thinking is only looked for at the very beginning of a reply; a later `<think>` is text the model quotes. `opened`
    says that the prompt already ended with the opening marker, as some templates do.
    """

    def __init__(self, *, opened: bool = False) -> None:
        self._state: Literal["start", "thinking", "after", "text"] = "thinking" if opened else "start"
        self._held = ""

    def push(self, text: str) -> Iterator[tuple[Kind, str]]:
        """Yield what became certain with `text`."""
        text, self._held = self._held + text, ""
        if self._state == "start":
            begun = text.lstrip()
            if OPEN.startswith(begun[: len(OPEN)]) and len(begun) < len(OPEN):
                self._held = text  # nothing yet, or the beginning of the marker
                return
            if begun.startswith(OPEN):
                self._state, text = "thinking", begun[len(OPEN) :]
            else:
                self._state = "text"
        if self._state == "thinking":
            before, marker, after = text.partition(CLOSE)
            if not marker:
                keep = next((n for n in range(len(CLOSE) - 1, 0, -1) if text.endswith(CLOSE[:n])), 0)
                before, self._held = text[: len(text) - keep], text[len(text) - keep :]
            if before:
                yield "thinking", before
            if not marker:
                return
            self._state, text = "after", after
        if self._state == "after":
            text = text.lstrip()
            if not text:
                return
            self._state = "text"
        if text:
            yield "text", text

    def finish(self) -> Iterator[tuple[Kind, str]]:
        """Yield what was held back when the reply ended."""
        held, self._held = self._held, ""
        if held:
            yield "thinking" if self._state == "thinking" else "text", held
