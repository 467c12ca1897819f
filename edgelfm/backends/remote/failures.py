"""What an answer or a failure of a server means: the one place where HTTP becomes edgelfm's errors.

It says whether asking again makes sense and how long the server wants us to wait. It never asks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin

from ...errors import (
    ContextExceeded,
    EdgelfmError,
    RequestError,
    ServerBusy,
    ServerError,
    ServerRefused,
    ServerTimeout,
    ServerUnreachable,
    UnknownModel,
)
from .address import Address
from .proxies import proxy_for
from .server import ServedModel, Server
from .shapes import mapping

#: Answers that may be different the next time.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_QUOTED = 300  # characters of what a server says
_TOO_LONG = re.compile(
    r"context (?:length|size|window)|maximum context|exceed_context|context_length_exceeded|too long for the model",
    re.IGNORECASE,
)
_NUMBERS = re.compile(r"(?<![\w.])\d{1,9}(?![\w.]*\w)")
_NO_MODEL = re.compile(
    r"model.{0,80}(?:not found|does not exist|not exist|unknown)|model_not_found", re.IGNORECASE | re.S
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked of whom, for messages."""

    server: Server
    address: Address
    model: str
    context: int = 0  # tokens, 0 if unknown
    wanted: str = "a reply"  # "embeddings", "tools"


class Failure(Exception):
    """One attempt that failed. `error` is what the caller gets if no further attempt is made."""

    def __init__(self, error: EdgelfmError, *, passing: bool = False, wait: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.passing = passing  # another attempt may succeed
        self.wait = wait  # seconds the server asked for


def from_status(status: int, headers: Mapping[str, str], body: str, asked: Asked) -> Failure:
    """What a status other than 200 means."""
    said = quoted(body)
    error = _refusal(status, headers, body, said, asked)
    wait = retry_after(headers) if status in PASSING else None
    # A 500 is a fault of the program, and comes again; the other passing ones are those of a busy machine.
    return Failure(error, passing=isinstance(error, ServerBusy), wait=wait)


def _refusal(status: int, headers: Mapping[str, str], body: str, said: str, asked: Asked) -> EdgelfmError:
    place, who = asked.address, asked.server.name
    quote = f": {said}" if said else ""
    if status in (401, 403):
        known = "refuses this key" if status == 403 else "wants a key, or another one"
        return ServerRefused(f"{who} at {place} {known} ({status}){quote}", hint=f'edgelfm.connect("{place}", key="…")')
    if status in (400, 413, 422, 500) and _TOO_LONG.search(body):
        return too_long(body, asked)
    named = bool(asked.model) and asked.model in body
    if (status == 404 and (_NO_MODEL.search(body) or named)) or (status == 400 and named and _NO_MODEL.search(body)):
        return unknown_model(asked.server, asked.model, said)
    if status in (404, 405, 501):
        return RequestError(
            f"{who} at {place} does not give {asked.wanted} ({status}){quote}",
            hint=_how_to(asked, status) or "check the address",
        )
    if status in (400, 422) or (status == 500 and "not supported" in body):  # llama-server's word for pictures
        return RequestError(
            f"{who} at {place} does not take this request ({status}){quote}",
            hint=_how_to(asked, status) or "change what it names, or leave that out",
        )
    if status == 407:
        return ServerUnreachable(
            f"the proxy on the way to {place} wants a user and a password{quote}",
            hint=f"HTTP_PROXY=http://USER:PASSWORD@…, or NO_PROXY={place.host} goes around it",
        )
    if status in (301, 302, 303, 307, 308):
        target = urljoin(f"{place.root}/", headers.get("location", ""))
        here = target.startswith(f"{place.root}/")
        hint = "check the address" if here else f'if you trust it: edgelfm.connect("{target}")'
        return ServerError(f"{place} sends us to {target}", hint=hint)
    if status in PASSING and status != 500:
        what = "has too many requests" if status == 429 else "is not ready"
        wait = retry_after(headers)
        asks = f" and asks us to wait {wait:.0f} s" if wait is not None else ""
        return ServerBusy(f"{who} at {place} {what} ({status}){asks}{quote}", hint="try again in a moment")
    return ServerError(f"{who} at {place} failed ({status}){quote}", hint="its own log says more")


def _how_to(asked: Asked, status: int) -> str:
    """How this program is made to give what was wanted, where that is known."""
    kind = asked.server.kind
    if asked.wanted == "embeddings":
        ways = {
            "llama.cpp": "start it with --embeddings --pooling mean",
            "vllm": "serve an embedding model: vllm serve MODEL --runner pooling",
        }
        return ways.get(kind, "use a server and a model for embeddings")
    if "tools" in asked.wanted:
        ways = {
            "llama.cpp": "start it with --jinja",
            "vllm": "start it with --enable-auto-tool-choice --tool-call-parser lfm2",
            "ollama": "take a model whose template knows tools; ollama show MODEL says so",
        }
        return ways.get(kind, "leave tools= out")
    if asked.server.kind == "vllm" and status == 404:
        return "it was started to embed; to chat, serve a model without --runner pooling"
    return ""


def too_long(body: str, asked: Asked) -> ContextExceeded:
    """The prompt does not fit. Servers put both lengths somewhere into what they say."""
    data = _object(body)
    inner = mapping(data.get("error")) or data
    prompt, context = inner.get("n_prompt_tokens"), inner.get("n_ctx")  # llama-server
    if not isinstance(prompt, int) or not isinstance(context, int):
        numbers = sorted({int(one) for one in _NUMBERS.findall(str(inner.get("message", body)))} - {0, 400})
        context = next((one for one in numbers if one == asked.context), numbers[0] if numbers else asked.context)
        prompt = next((one for one in reversed(numbers) if one > context), 0)
    # vLLM stops counting one token beyond what fits.
    counted = "at least " if re.search(rf"at least {prompt}\b", body) else ""
    lengths = (
        f"the prompt has {counted}{prompt} tokens and the context" if prompt else "the prompt is too long: the context"
    )
    longer = {
        "llama.cpp": "start the server with --ctx-size", "vllm": "start the server with --max-model-len",
        "ollama": "set num_ctx, or OLLAMA_CONTEXT_LENGTH",
    }.get(asked.server.kind, "give the server a longer context")  # fmt: skip
    return ContextExceeded(
        f"{lengths} of {asked.model} on {asked.server.name} holds {context or 'less'}",
        prompt_tokens=prompt,
        context=context,
        hint=f'{longer}, shorten the text, or let old turns go with overflow="drop_oldest"',
    )


def unknown_model(server: Server, model: str, said: str = "") -> UnknownModel:
    """No such model there. The message lists those that are."""
    there = ", ".join(one.id for one in server.models[:12]) or "none that it tells of"
    more = f" and {len(server.models) - 12} more" if len(server.models) > 12 else ""
    hint = f"ollama pull {model}" if server.kind == "ollama" else _name_one(server.models)
    quote = f" ({said})" if said else ""
    return UnknownModel(f"{server.name} at {server.url} has no model {model!r}{quote}; it has {there}{more}", hint=hint)


def _name_one(models: tuple[ServedModel, ...]) -> str:
    return f'model="{models[0].id}"' if models else "start the server with that model"


def from_exception(failure: BaseException, asked: Asked, packages: Sequence[str]) -> Failure | None:
    """What an exception of a socket, or of the HTTP library in `packages`, means. None if it is neither."""
    chain = list(_causes(failure))
    place = asked.address
    if not any(isinstance(one, OSError) or type(one).__module__.partition(".")[0] in packages for one in chain):
        return None
    proxy = proxy_for(place)
    around = f"the way goes through the proxy {proxy.url}; NO_PROXY={place.host} goes around it" if proxy else ""
    said = next((str(one) for one in chain if str(one) and str(one) != "Connection error."), type(failure).__name__)
    text = " ".join(str(one) for one in chain)
    if "certificate" in text.lower() or any(type(one).__name__.startswith("SSL") for one in chain):
        return Failure(
            ServerUnreachable(
                f"no safe connection to {place}: {quoted(said)}",
                hint="trust a certificate of your own with SSL_CERT_FILE=cert.pem, or check the clock; "
                f"is it {'http' if place.secure else 'https'}:// instead?",
            )
        )
    if any(type(one).__name__ in ("gaierror", "herror") for one in chain) or "Name or service" in text:
        return Failure(ServerUnreachable(f"there is no host {place.host!r}", hint=around or "check the address"))
    if any(type(one).__name__ == "ConnectTimeout" for one in chain) or (
        isinstance(chain[0], TimeoutError) and not isinstance(chain[0], ServerTimeout)
    ):
        or_plain = "; is it http:// instead?" if place.secure else ""
        return Failure(ServerTimeout(f"{place} does not answer", hint=f"check the address and the firewall{or_plain}"))
    if any(isinstance(one, ConnectionRefusedError) for one in chain) or "Connection refused" in text:
        return Failure(
            ServerUnreachable(f"nobody answers at {place}: connection refused", hint=around or _start(asked, place)),
            passing=True,
        )
    if any(type(one).__name__ in ("ConnectError", "ProxyError") for one in chain) or "Tunnel connection" in text:
        return Failure(
            ServerUnreachable(f"cannot reach {place}: {quoted(said)}", hint=around or "check the network"), passing=True
        )
    return Failure(
        ServerUnreachable(
            f"{place} closed the connection without an answer",
            hint=around or _start(asked, place) + ("" if place.secure else "; is it https:// instead?"),
        ),
        passing=True,
    )


def _start(asked: Asked, place: Address) -> str:
    if asked.server.kind == "ollama" or place.port == 11434:
        return "ollama serve"
    return "start the server, or check the address; one that is loading its model may not answer yet"


def quoted(body: str) -> str:
    """What a server says, on one line and not too long: the message inside JSON, the text of a page."""
    text = body
    data = _object(body)
    inner = data.get("error", data)
    if isinstance(inner, dict):
        inner = inner.get("message") or inner.get("detail")
    if isinstance(inner, (str, list)) and inner:
        text = inner if isinstance(inner, str) else json.dumps(inner)
    elif "<" in body:
        text = re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", body, flags=re.DOTALL | re.IGNORECASE)
    text = " ".join(re.sub(r"[^\x20-\x7e\u00a0-\ud7ff\ue000-\uffff]", " ", text).split())
    return text if len(text) <= _QUOTED else f"{text[: _QUOTED - 1].rstrip()}…"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks us to wait; it may give a number or a date."""
    with_ms, value = headers.get("retry-after-ms", ""), headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", with_ms.strip()):
        return float(with_ms) / 1000
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=timezone.utc)
    return max(0.0, (at - datetime.now(timezone.utc)).total_seconds())


def _object(body: str) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _causes(failure: BaseException | None) -> Iterator[BaseException]:
    while failure is not None:
        yield failure
        failure = failure.__cause__ or failure.__context__
