"""Addresses of servers as people write them, made into one form. Touches no network."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from ...errors import RequestError

_EXAMPLE = 'edgelfm.connect("http://localhost:11434")'


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is. `root` has no slash at its end, `api` is the part that speaks the OpenAI protocol."""

    root: str  # "http://localhost:11434"
    api: str  # "http://localhost:11434/v1"

    @property
    def host(self) -> str:
        """Name or number of the machine."""
        return urlsplit(self.root).hostname or ""

    @property
    def port(self) -> int:
        """Also where it follows from the scheme."""
        return urlsplit(self.root).port or (443 if self.secure else 80)

    @property
    def secure(self) -> bool:
        """Whether it is https."""
        return self.root.startswith("https:")

    @property
    def loopback(self) -> bool:
        """Whether it is this machine, which no proxy is asked for."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return self.root


def read_address(text: object, *, port: int | None = None) -> Address:
    """`localhost:11434`, `http://box/v1/`, `https://box/llm/v1/chat/completions` and the like.

    `port` is the one meant where neither a port nor a scheme is given. Raises `RequestError` for what is no address.
    """
    if not isinstance(text, str) or not text.strip():
        raise RequestError(f"{text!r} is not the address of a server", hint=f"as in {_EXAMPLE}")
    given = text.strip()
    bare = "://" not in given
    if bare and re.fullmatch(r"[0-9a-fA-F]*(:[0-9a-fA-F]*){2,}", given):
        raise RequestError(
            f"{given!r} could be a number with a port or without", hint='edgelfm.connect("http://[::1]:8080")'
        )
    try:
        parts = urlsplit(f"http://{given}" if bare else given)
        number = parts.port
    except ValueError as error:
        raise RequestError(f"{given!r} is not the address of a server: {error}", hint=f"as in {_EXAMPLE}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or any(one.isspace() for one in given):
        raise RequestError(f"{given!r} is not the address of a server", hint=f"as in {_EXAMPLE}")
    if parts.username is not None or parts.password is not None:
        raise RequestError("the address holds a user or a password", hint='give the key apart: connect(url, key="…")')
    if parts.query:
        raise RequestError(
            f"the address holds a query, ?{parts.query}, which would not be sent",
            hint="leave it out; what a server wants besides may go into connect(url, headers={…})",
        )
    if number is None and bare and port is not None:
        number = port
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = f"{parts.scheme}://{host}" + (f":{number}" if number is not None else "")
    path = re.sub("//+", "/", parts.path).rstrip("/")
    for ending in ("/chat/completions", "/completions", "/models", "/embeddings"):
        path = path.removesuffix(ending)
    path = path.removesuffix("/v1").rstrip("/")
    return Address(place + path, f"{place}{path}/v1")
