"""How one reply is to be made: a model's preset with what the caller changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

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
    logit_bias: Mapping[int | str, float] | None  # added to the logits of a token: its id, or its text
    logprobs: int | None  # report how likely each token was, and that many of the likeliest beside it


@dataclass(frozen=True, slots=True)
class Options:
    """Checked options."""

    sampling: Sampling
    max_tokens: int | None
    stop: tuple[str, ...]
    seed: int | None
    logit_bias: Mapping[int | str, float]  # as given; `token_biases` turns texts into ids
    logprobs: int | None
    asked: frozenset[str] = frozenset()  # what of the sampling is not the preset's
    passed: Mapping[str, Any] = field(default_factory=dict)  # for a server, as given: tools, response_format, …


_MOST_LOGPROBS = 1000  # beside each token of a reply; more would be kept than anybody reads
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
    biases = _checked_biases(given.get("logit_bias"))
    logprobs = given.get("logprobs")
    if logprobs is not None and (
        isinstance(logprobs, bool) or not isinstance(logprobs, int) or not 0 <= logprobs <= _MOST_LOGPROBS
    ):
        raise RequestError(
            f"logprobs is {logprobs!r}",
            hint=f"ask for 0 to {_MOST_LOGPROBS} of the likeliest tokens; 0 reports the chosen token alone",
        )
    asked = frozenset(changed)
    return Options(sampling, maximum, tuple(text for text in stops if text), seed, biases, logprobs, asked)


def token_biases(biases: Mapping[int | str, float], tokenize: Callable[[str], list[int]]) -> dict[int, float]:
    """`biases` with texts turned into token ids. Those of one token add up.

    Raises `RequestError` for a text that is not exactly one token.
    """
    ids: dict[int, float] = {}
    for given, bias in biases.items():
        token = _one_token(given, tokenize) if isinstance(given, str) else given
        ids[token] = ids.get(token, 0.0) + bias
    return ids


def _one_token(text: str, tokenize: Callable[[str], list[int]]) -> int:
    tokens = tokenize(text)
    if len(tokens) == 1:
        return tokens[0]
    if tokens and len(tokenize(f" {text}")) == 1:
        hint = f"inside a sentence it is one with the space before it: {' ' + text!r}"
    else:
        hint = f"bias one of its tokens by id: {', '.join(map(str, tokens))}" if tokens else "leave it out"
    raise RequestError(f"logit_bias needs one token, and {text!r} is {len(tokens)}", hint=hint)


def _checked_biases(given: Mapping[int | str, float] | None) -> Mapping[int | str, float]:
    if given is None:
        return {}
    example = 'as in logit_bias={" maybe": -5, 1234: float("-inf")}'
    if not isinstance(given, Mapping):
        raise RequestError(f"logit_bias is {given!r}", hint=f"map tokens to numbers, {example}")
    for token, bias in given.items():
        if isinstance(token, bool) or not isinstance(token, (int, str)) or (isinstance(token, int) and token < 0):
            raise RequestError(f"logit_bias has {token!r} for a token", hint=f"give its id or its text, {example}")
        number = isinstance(bias, (int, float)) and not isinstance(bias, bool)
        if not number or math.isnan(bias) or bias == math.inf:
            raise RequestError(
                f"logit_bias gives {token!r} {bias!r}", hint='give a number: 5 makes it likelier, float("-inf") bans it'
            )
    return dict(given)
