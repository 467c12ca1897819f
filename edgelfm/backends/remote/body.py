"""A request in the protocol's words: which of our options a program understands, and what it calls them.

An option that somebody asked for is never dropped in silence. One that only the model's preset has is, where the
program would ignore it. Sources: vLLM's and SGLang's pages on extra parameters, llama-server's README, LM Studio's page
on the OpenAI protocol, and Ollama's openai/openai.go, which reads temperature and top_p alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import RequestError
from ...models.entry import Sampling
from .server import NAMES, Kind

_STANDARD = {"temperature": "temperature", "top_p": "top_p"}
_LLAMA = {"top_k": "top_k", "min_p": "min_p", "repetition_penalty": "repeat_penalty"}
_VLLM = {"top_k": "top_k", "min_p": "min_p", "repetition_penalty": "repetition_penalty"}
_MORE: Mapping[Kind, Mapping[str, str]] = {"llama.cpp": _LLAMA, "lm studio": _LLAMA, "vllm": _VLLM, "sglang": _VLLM}
_KEEPS_ALL = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}
_MOST_BIAS, _MOST_LOGPROBS = 100.0, 20  # the protocol's own limits


@dataclass(frozen=True, slots=True)
class Wish:
    """How a reply is to be made. `asked` names what of the sampling somebody gave; the rest is the model's preset."""

    sampling: Sampling
    asked: frozenset[str] = frozenset()
    preset_known: bool = True  # otherwise only what was asked for is sent, and the server decides the rest
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    seed: int | None = None
    logit_bias: Mapping[int | str, float] = field(default_factory=dict)
    logprobs: int | None = None
    passed: Mapping[str, Any] = field(default_factory=dict)  # tools, response_format, and whatever else, as given


def request_body(kind: Kind, model: str, wish: Wish, *, chat: bool = True) -> dict[str, Any]:
    """Everything but messages or prompt. Raises `RequestError` for what this program is known not to take."""
    body: dict[str, Any] = {"model": model, **_sampling(kind, wish)}
    if wish.max_tokens is not None:
        body["max_tokens"] = wish.max_tokens
    if wish.stop:
        body["stop"] = list(wish.stop)
    if wish.seed is not None:
        body["seed"] = wish.seed
    if wish.logit_bias:
        body["logit_bias"] = _biases(wish.logit_bias)
    if wish.logprobs is not None:
        if wish.logprobs > _MOST_LOGPROBS:
            raise RequestError(
                f"logprobs is {wish.logprobs}", hint=f"servers give at most {_MOST_LOGPROBS} beside each token"
            )
        # llama-server takes 0 for "no probabilities at all"; what was not asked for is cut off when it comes.
        most = max(1, wish.logprobs)
        body |= {"logprobs": True, "top_logprobs": most} if chat else {"logprobs": most}
    return body | dict(wish.passed)


def check_sendable(body: Mapping[str, Any]) -> None:
    """Raises `RequestError` for what JSON cannot hold."""
    try:
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestError(
            f"this cannot be sent to a server: {error}", hint="give texts, numbers, lists and dictionaries of them"
        ) from error


def _sampling(kind: Kind, wish: Wish) -> dict[str, Any]:
    known = _STANDARD | dict(_MORE.get(kind, {}))
    body: dict[str, Any] = {}
    for name in ("temperature", "top_k", "top_p", "min_p", "repetition_penalty"):
        value, asked = getattr(wish.sampling, name), name in wish.asked
        if value is None or not (asked or wish.preset_known):
            continue
        if value == _KEEPS_ALL.get(name) and not asked:
            continue
        if name in known:
            # vLLM's word for all tokens is -1 in every version, 0 in the latest.
            body[known[name]] = -1 if name == "top_k" and value == 0 and kind in ("vllm", "sglang") else value
        elif asked and value != _KEEPS_ALL[name]:
            raise RequestError(
                f"{NAMES[kind]} is not known to take {name} in this protocol",
                hint=f"leave it out, or send it as it is: extra={{'{name}': {value:g}}}",
            )
    return body


def _biases(given: Mapping[int | str, float]) -> dict[str, float]:
    biases: dict[str, float] = {}
    for token, bias in given.items():
        if isinstance(token, str):
            raise RequestError(
                f"logit_bias names the token {token!r} by its text, and only the server could tell its id",
                hint="give ids of tokens, as in logit_bias={1234: -5}",
            )
        biases[str(token)] = -_MOST_BIAS if math.isinf(bias) else max(-_MOST_BIAS, min(_MOST_BIAS, bias))
    return biases
