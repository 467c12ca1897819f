"""How one reply is to be made: a model's preset with what the caller changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

from ..errors import RequestError
from ..models.entry import Sampling


class ReplyOptions(TypedDict, total=False):
    """Keywords of `chat`, `stream` and `send`. What is left out follows the model's own preset."""

    max_tokens: int | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float | None
    stop: str | Sequence[str] | None
    seed: int | None


@dataclass(frozen=True, slots=True)
class Options:
    """Checked options."""

    sampling: Sampling
    max_tokens: int | None
    stop: tuple[str, ...]
    seed: int | None


_RANGES = {  # lowest, highest, what it means
    "temperature": (0, 10, "0 takes the likeliest token every time"),
    "top_k": (0, 1 << 30, "0 keeps all tokens"),
    "top_p": (0, 1, "1 keeps all tokens"),
    "min_p": (0, 1, "0 keeps all tokens"),
    "repetition_penalty": (0.01, 10, "1 is no penalty"),
}


def read_options(preset: Sampling, given: ReplyOptions) -> Options:
    """Put `given` over `preset`. Raises `RequestError` for a value out of range or an unknown keyword."""
    unknown = set(given) - set(ReplyOptions.__annotations__)
    if unknown:
        raise RequestError(
            f"{sorted(unknown)[0]!r} is not an option of a reply", hint=f"use {', '.join(ReplyOptions.__annotations__)}"
        )
    changed = {}
    for name, (low, high, meaning) in _RANGES.items():
        value = given.get(name)
        if value is None:
            continue
        kinds = (int,) if name == "top_k" else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
            raise RequestError(f"{name} is {value!r}", hint=f"give a number from {low} to {high}; {meaning}")
        changed[name] = value
    maximum = given.get("max_tokens")
    if maximum is not None and (isinstance(maximum, bool) or not isinstance(maximum, int) or maximum < 1):
        raise RequestError(f"max_tokens is {maximum!r}", hint="ask for at least 1 token, or leave it out")
    stop = given.get("stop") or ()
    stops = (stop,) if isinstance(stop, str) else tuple(stop)
    if not all(isinstance(text, str) for text in stops):
        raise RequestError(f"stop is {stop!r}", hint='give a text or a list of texts, as in stop=["\\n"]')
    seed = given.get("seed")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise RequestError(f"seed is {seed!r}", hint="give a whole number")
    sampling = replace(preset, **changed, source="caller" if changed else preset.source)  # type: ignore[arg-type]
    return Options(sampling, maximum, tuple(text for text in stops if text), seed)
