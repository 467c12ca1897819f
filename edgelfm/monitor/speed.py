"""Tokens per second, from nothing but the moments at which tokens were sampled and the firsts among them.

The time before the first token of a reply is prefill and belongs to no speed of decode.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence

#: Seconds over which a speed at a moment is taken, more where tokens come more slowly.
WINDOW = 1.0
_REMEMBERED = 4096  # tokens of a window, even on the fastest machine


def speed_at(at: float, tokens: Sequence[float], firsts: Sequence[float]) -> float | None:
    """Tokens per second at a moment, None while none are sampled.

    `tokens` are all moments, `firsts` those of them that began a reply; both in order.
    """
    end = bisect.bisect_right(tokens, at)
    if end < 2:
        return None
    place = bisect.bisect_right(firsts, tokens[end - 1])
    begin = bisect.bisect_left(tokens, firsts[place - 1]) if place else 0
    begin = max(begin, min(bisect.bisect_left(tokens, at - WINDOW), end - 2))
    if end - begin < 2 or tokens[end - 1] <= tokens[begin]:
        return None
    step = (tokens[end - 1] - tokens[begin]) / (end - 1 - begin)
    return None if at - tokens[end - 1] > max(WINDOW / 2, 2 * step) else 1 / step


class Speedometer:
    """The speed while a trace grows. It remembers no more than it needs."""

    def __init__(self) -> None:
        self._tokens: list[float] = []
        self._firsts: list[float] = []

    def add(self, tokens: Sequence[float], firsts: Sequence[float]) -> None:
        """Moments of more tokens, and of those of them that began a reply."""
        self._tokens += tokens
        self._firsts += firsts
        if len(self._tokens) > 2 * _REMEMBERED:
            del self._tokens[:-_REMEMBERED]
        del self._firsts[:-_REMEMBERED]

    def at(self, at: float) -> float | None:
        """Tokens per second at a moment that is not before the latest token."""
        return speed_at(at, self._tokens, self._firsts)


def stretches(tokens: Sequence[float], firsts: Sequence[float]) -> list[Sequence[float]]:
    """The tokens of each reply. Those before the first of `firsts` belong to one that had begun already."""
    cuts = [0, *(bisect.bisect_left(tokens, first) for first in firsts), len(tokens)]
    return [tokens[begin:end] for begin, end in itertools.pairwise(cuts) if end > begin]


def mean_speed(parts: Sequence[Sequence[float]]) -> float | None:
    """Tokens after the first of each reply by the seconds they took, None where no reply has two."""
    seconds = sum(part[-1] - part[0] for part in parts)
    tokens = sum(len(part) - 1 for part in parts)
    return tokens / seconds if tokens and seconds > 0 else None


def latter_half(parts: Sequence[Sequence[float]]) -> list[Sequence[float]]:
    """The same replies without the first half of the time in which they were sampled."""
    left = sum(part[-1] - part[0] for part in parts) / 2
    kept = []
    for part in parts:
        seconds = part[-1] - part[0]
        if left < seconds:
            kept.append(part[bisect.bisect_left(part, part[0] + max(0.0, left)) :])
        left -= seconds
    return [part for part in kept if part]
