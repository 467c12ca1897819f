"""`connect()` and `servers()`: the way to a model that another program serves, here or elsewhere."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from .errors import RequestError, ServerError, ServerUnreachable, UnknownModel

if TYPE_CHECKING:
    from .backends.remote.asking import Asker
    from .backends.remote.server import ServedModel, Server
    from .backends.remote.session import Patience
    from .remote_model import RemoteModel

_PULL = "ollama pull hf.co/LiquidAI/LFM2.5-1.2B-Instruct-GGUF"


def servers(*, timeout: float = 0.5) -> tuple[Server, ...]:
    """Servers of models on this machine that answer, with their models: Ollama, llama-server, vLLM, LM Studio.

    Looks where `OLLAMA_HOST` says and at the usual ports of loopback, no further. `timeout` is in seconds, for each
    part of an answer. Never raises.
    """
    from .backends.remote.address import read_address
    from .backends.remote.asking import Asker
    from .backends.remote.discovery import discover
    from .backends.remote.probing import all_details

    found = discover(timeout)
    return tuple(all_details(Asker(read_address(server.url), timeout=timeout), server) for server in found)


def connect(
    url: str | None = None,
    model: str | None = None,
    key: str | None = None,
    *,
    context: int | None = None,
    connect_seconds: float = 5.0,
    first_token_seconds: float = 300.0,
    between_tokens_seconds: float = 60.0,
    retries: int = 4,
    headers: Mapping[str, str] | None = None,
) -> RemoteModel:
    """A model behind a server that speaks the OpenAI protocol: Ollama, vLLM, llama-server, LM Studio, and others.

    Without `url`, servers on this machine are looked for. Without `model`, a Liquid model is taken, or the only one
    there is. `key` is sent to this server and to no other; none is ever taken from the environment. `context` says how
    many tokens fit where the server does not. Nothing may take longer than the `seconds` say: to connect, to the first
    token, which may have to wait for the model to be loaded there, and from one token to the next. A server that is
    busy, or was found and refuses the connection later, is asked again `retries` times, before the first token and
    never after it. A proxy that the environment names is used, for other machines only.

    Raises `ServerUnreachable`, `ServerRefused`, `ServerBusy`, `ServerTimeout`, `ServerError`, `UnknownModel`,
    `RequestError`, `BackendMissing`.
    """
    from .backends.remote.address import read_address
    from .backends.remote.asking import Asker
    from .backends.remote.candidate import entry_for
    from .backends.remote.library import library
    from .backends.remote.probing import with_details
    from .backends.remote.session import RemoteSession
    from .remote_model import RemoteModel

    patience = _patience(connect_seconds, first_token_seconds, between_tokens_seconds, retries)
    key = key.strip() if isinstance(key, str) else key  # files end with a line break
    if key is not None and (not isinstance(key, str) or not key or not _sendable(key)):
        raise RequestError("the key is no text that can be sent", hint='as in connect(url, key="sk-…")')
    headers = _headers(headers)
    if context is not None and (isinstance(context, bool) or not isinstance(context, int) or context < 1):
        raise RequestError(f"context is {context!r}", hint="give a whole number of at least 1, or leave it out")
    if url is None and key is not None:
        raise RequestError("a key is for one server, and none was named", hint='connect("https://…", key="…")')
    library()  # told before anything is asked
    if url is None:
        server = _found(model)
        address = read_address(server.url)
    else:
        address = read_address(url)
        server = _asked(Asker(address, key, connect_seconds, headers), patience)
    served = _chosen(server, model)
    served = with_details(Asker(address, key, connect_seconds, headers), server, served)
    if context is not None:
        served = replace(served, context=context, context_from="asked for")
    entry, known = entry_for(served)
    session = RemoteSession(server, address, served, key=key, patience=patience, headers=headers)
    return RemoteModel(session, entry, preset_known=known)


def _sendable(text: object) -> bool:
    return isinstance(text, str) and text.isascii() and text.isprintable()


def _headers(given: Mapping[str, str] | None) -> Mapping[str, str]:
    """Those that can be sent. Raises `RequestError` naming one that cannot."""
    example = 'as in headers={"X-Team": "lab"}'
    if given is not None and not isinstance(given, Mapping):
        raise RequestError(f"headers is a {type(given).__name__}", hint=f"map names to texts, {example}")
    for name, value in (given or {}).items():
        if not isinstance(name, str) or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise RequestError(f"no header can be called {name!r}", hint=example)
        if not _sendable(value) or value != value.strip():
            raise RequestError(f"the value of the header {name} cannot be sent", hint=f"give it in ASCII, {example}")
    return dict(given or {})


def _patience(connect: float, first: float, between: float, retries: int) -> Patience:
    from .backends.remote.session import Patience

    named = {"connect_seconds": connect, "first_token_seconds": first, "between_tokens_seconds": between}
    for name, seconds in named.items():
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < 1e6:
            raise RequestError(f"{name} is {seconds!r}", hint="give seconds, as in 30")
    if isinstance(retries, bool) or not isinstance(retries, int) or not 0 <= retries <= 100:
        raise RequestError(f"retries is {retries!r}", hint="give a whole number, 0 for none")
    return Patience(connect, first, between, retries)


def _asked(asker: Asker, patience: Patience) -> Server:
    """The server at an address. Raises what keeps it from answering."""
    from .backends.remote.asking import UNANSWERED
    from .backends.remote.failures import Asked, from_exception, from_status, quoted
    from .backends.remote.probing import read_server
    from .backends.remote.server import Server

    unknown = Server(asker.address.root, "openai")
    asked = Asked(unknown, asker.address, "", wanted="a list of models")
    attempt = 0
    try:
        while (listed := asker.get("/v1/models")).status not in (200, 404, 405, 501):
            failure = from_status(listed.status, listed.headers, listed.body.decode("utf-8", "replace"), asked)
            attempt += 1
            pause = patience.pause(failure, attempt)
            if pause is None:
                raise failure.error
            time.sleep(pause)
        if listed.status == 200 and listed.found is None:
            said = quoted(listed.body.decode("utf-8", "replace"))
            raise ServerError(
                f"{asker.address} answers, but not as a server with the OpenAI protocol{f': {said}' if said else ''}",
                hint="check the address and the port",
            )
        return read_server(asker, listed)
    except UNANSWERED as error:
        if isinstance(error, ServerError):
            raise
        meaning = from_exception(error, asked, ("http",))
        assert meaning is not None
        raise meaning.error from error


def _found(model: str | None) -> Server:
    """The server on this machine that has `model`, or a Liquid model if none is named."""
    from .backends.remote.discovery import discover, places

    found = discover()
    if model is not None:
        fitting = [server for server in found if server.find(model) is not None]
    else:
        fitting = [server for server in found if any(one.is_lfm and not one.embeds_only for one in server.models)]
    if fitting:
        return fitting[0]
    if not found:
        tried = ", ".join(str(place) for place in places())
        raise ServerUnreachable(
            f"no server of models answers on this machine; tried {tried}",
            hint='start one, as in: ollama serve; or name it: edgelfm.connect("http://…")',
        )
    listed = "; ".join(
        f"{server.name} at {server.url} has {', '.join(one.id for one in server.models[:8]) or 'no models'}"
        for server in found
    )
    if model is not None:
        hint = f"ollama pull {model}" if any(server.kind == "ollama" for server in found) else "take one of these"
        raise UnknownModel(f"no server on this machine has {model!r}: {listed}", hint=hint)
    some = next(((server, one) for server in found for one in server.models if not one.embeds_only), None)
    raise UnknownModel(
        f"no server on this machine has a Liquid model: {listed}",
        hint=f'edgelfm.connect("{some[0].url}", model="{some[1].id}")' if some else _PULL,
    )


def _chosen(server: Server, model: str | None) -> ServedModel:
    """The model that is meant. Raises `UnknownModel` with those there are."""
    from .backends.remote.failures import unknown_model
    from .backends.remote.server import ServedModel

    if model is not None:
        if not isinstance(model, str) or not model.strip():
            raise RequestError(f"model is {model!r}", hint="give its name, or leave it out")
        found = server.find(model.strip())
        if found is None and server.models:
            raise unknown_model(server, model)
        return found or ServedModel(model.strip())  # a server that lists none will say itself what it has
    talking = [one for one in server.models if not one.embeds_only] or list(server.models)
    liquid = [one for one in talking if one.is_lfm]
    if len(talking) == 1 or liquid:
        return max(liquid or talking, key=lambda one: one.loaded is True)  # of several the first, or one in memory
    if not talking:
        hint = _PULL if server.kind == "ollama" else 'connect(url, model="…")'
        raise UnknownModel(f"{server.name} at {server.url} names no model that it has", hint=hint)
    listed = ", ".join(one.id for one in talking[:12])
    raise RequestError(
        f"{server.name} at {server.url} has several models, and none of Liquid AI's: {listed}",
        hint=f'edgelfm.connect("{server.url}", model="{talking[0].id}")',
    )
