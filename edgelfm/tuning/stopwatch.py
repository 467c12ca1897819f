"""How fast a model is with the settings it has, for runtimes that leave nothing to choose.

The same question is read and answered again and again until the time is over, each time from an empty state.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ..backends.base import Session
from ..backends.endless import never_ending
from ..errors import RequestError
from ..models.entry import Sampling
from ..planning.records import Phase

PROMPT, WRITTEN = 256, 16  # tokens: a question with some text, and enough of an answer to time
LEAST_RUNS = 3
_TEXT = "The keeper walks along the hedge each morning, counts the bees, and writes down what is in bloom. "


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds per token of every run."""

    prefill: tuple[float, ...]
    decode: tuple[float, ...]
    prompt: int  # tokens read
    depth: int  # tokens of context at which the middle of the answer was written


def time_runs(session: Session, seconds: float, say: Callable[[Phase], None]) -> Timed:
    """Run for about `seconds`, three times at least. `say` hears before each phase. States are given up.

    Raises `RequestError` if the context is too small to measure in, and what `generate` raises.
    """
    length = min(PROMPT, session.context // 2)
    if length < WRITTEN:
        raise RequestError(f"a context of {session.context} tokens is too small to measure in", hint="load with more")
    text = session.tokenize(_TEXT * (1 + length // 8), special=False)
    bias, prompt = never_ending(session), text[:length]
    prefill: list[float] = []
    decode: list[float] = []
    started, runs = time.perf_counter(), 0
    while runs <= LEAST_RUNS or time.perf_counter() - started < seconds:
        session.forget()
        say("prefill" if runs % 2 == 0 else "decode")
        stream = session.generate(prompt, Sampling(), max_tokens=WRITTEN + 1, logit_bias=bias, keep=False)
        timings = list(stream)[-1].timings
        assert timings is not None
        runs += 1
        if runs > 1:  # the first touches everything for the first time
            prefill.append(timings.prefill_seconds / (timings.prompt_tokens - timings.cached_tokens))
            decode.append(timings.decode_seconds / (timings.completion_tokens - 1))
    session.forget()
    return Timed(tuple(prefill), tuple(decode), length, length + WRITTEN // 2)
