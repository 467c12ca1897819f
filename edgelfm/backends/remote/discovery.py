"""Finds servers on this machine: where Ollama says it is, and at the usual ports of the others.

A port where nobody listens costs microseconds. Only loopback is ever searched, and no key is ever sent; the one other
place is what `OLLAMA_HOST` names, which its owner has set.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from ...errors import RequestError
from .address import Address, read_address
from .asking import UNANSWERED, Asker, listening
from .probing import read_server
from .server import Server

OLLAMA_PORT = 11434
#: llama-server, vLLM, LM Studio: what they listen at if nobody says otherwise.
USUAL_PORTS = (8080, 8000, 1234)
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # what a server listens at, not where it is found


def ollama_address() -> Address:
    """Where `OLLAMA_HOST` says that Ollama is, else 127.0.0.1:11434. Reads it as Ollama's own client does."""
    given = os.environ.get("OLLAMA_HOST", "").strip().strip("'\"")
    if not given:
        return read_address(f"127.0.0.1:{OLLAMA_PORT}")
    if given.startswith(":"):
        given = f"127.0.0.1{given}"
    try:
        address = read_address(given, port=OLLAMA_PORT)
    except RequestError:
        return read_address(f"127.0.0.1:{OLLAMA_PORT}")
    for all_of_them, this_one in _EVERYWHERE.items():
        address = Address(
            address.root.replace(f"//{all_of_them}", f"//{this_one}"), address.api.replace(all_of_them, this_one)
        )
    return address


def places() -> tuple[Address, ...]:
    """Where servers are looked for, Ollama first."""
    found = [ollama_address(), *(read_address(f"127.0.0.1:{port}") for port in USUAL_PORTS)]
    return tuple(dict.fromkeys(found))


def discover(timeout: float = 0.5, *, at: Iterable[Address] | None = None) -> tuple[Server, ...]:
    """Servers that answer, in the order of `places()`. Never raises.

    `timeout` is in seconds, for each part of each answer; all are asked at once. Where nothing listens it takes a few
    milliseconds.
    """
    tried = tuple(places() if at is None else at)
    open_ones = [place for place in tried if not place.loopback or listening(place.host, place.port, timeout)]
    if not open_ones:
        return ()
    with ThreadPoolExecutor(len(open_ones), thread_name_prefix="edgelfm-discover") as pool:
        found = list(pool.map(lambda place: _look(place, timeout), open_ones))
    return tuple(server for server in found if server is not None)


def _look(place: Address, timeout: float) -> Server | None:
    asker = Asker(place, timeout=timeout)
    try:
        listed = asker.get("/v1/models")
        server = read_server(asker, listed)
    except (*UNANSWERED, RequestError):  # nobody there, or a proxy on the way to OLLAMA_HOST that is none
        return None
    # Many programs listen at 8080 and 8000. One that lists no models and is none we know is none of these.
    return server if server.lists_models or server.kind != "openai" else None
