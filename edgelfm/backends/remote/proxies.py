"""The proxy on the way to a server, if the environment names one. Questions and replies take the same way."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from ...errors import RequestError
from .address import Address


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where it is. A user and a password are not in `url`, which is what errors show."""

    url: str  # "http://proxy:3128"
    host: str
    port: int
    authorization: str | None  # what it is told in `Proxy-Authorization`


def proxy_for(address: Address) -> Proxy | None:
    """By `HTTP_PROXY`, `HTTPS_PROXY` or `ALL_PROXY`, and `NO_PROXY`; none for this machine.

    Raises `RequestError` for a proxy that is none, or that does not speak HTTP.
    """
    if address.loopback:
        return None
    from urllib.request import getproxies, proxy_bypass

    named = getproxies()
    text = named.get("https" if address.secure else "http") or named.get("all")
    if not text or proxy_bypass(address.host):
        return None
    hint = f"NO_PROXY={address.host} goes around it"
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise RequestError("the environment names a proxy that is no address", hint=hint) from None
    if parts.scheme != "http" or not host:
        raise RequestError(
            f"the environment names a proxy that speaks {parts.scheme or 'nothing'}, and only http:// ones are used",
            hint=hint,
        )
    told = None
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        told = f"Basic {base64.b64encode(user).decode()}"
    shown = f"[{host}]" if ":" in host else host
    return Proxy(f"http://{shown}:{port or 80}", host, port or 80, told)
