"""Short questions to a server, with the standard library alone: finding out must not wait for heavy imports.

Answers are whatever came, status and all; only what is no answer raises. A key goes to the address it was given for and
nowhere else: no redirect is followed.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .address import Address

_MOST = 8 * 1024**2  # bytes of an answer; a list of models has some kilobytes
#: What a question may fail with when there is no server, or one that does not speak HTTP.
UNANSWERED = (OSError, http.client.HTTPException)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        """The body as data, None if it is no JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def found(self) -> Mapping[str, Any] | None:
        """The body of a good answer that is a JSON object, else None."""
        data = self.json if self.status == 200 else None
        return data if isinstance(data, dict) else None


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks one server. `timeout` in seconds holds for connecting and for each part of an answer."""

    address: Address
    key: str | None = None
    timeout: float = 5.0
    headers: Mapping[str, str] | None = None

    def get(self, path: str) -> Answer:
        """What is at `path` below the root. Raises one of `UNANSWERED`."""
        return self._ask("GET", path, None)

    def post(self, path: str, data: Any) -> Answer:
        """The answer to `data` as JSON. Raises one of `UNANSWERED`."""
        return self._ask("POST", path, json.dumps(data).encode())

    def _ask(self, method: str, path: str, body: bytes | None) -> Answer:
        if not self.address.loopback and (proxied := self._through_proxy(method, path, body)) is not None:
            return proxied
        place = self.address
        inside = place.root.partition("://")[2].partition("/")[2]
        target = f"/{inside}{path}" if inside else path
        connection: http.client.HTTPConnection
        if place.secure:
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(place.host, place.port, timeout=self.timeout, context=context)
        else:
            connection = http.client.HTTPConnection(place.host, place.port, timeout=self.timeout)
        try:
            connection.request(method, target, body, self._headers())
            response = connection.getresponse()
            return Answer(response.status, _lowered(response.headers), response.read(_MOST))
        finally:
            connection.close()

    def _through_proxy(self, method: str, path: str, body: bytes | None) -> Answer | None:
        """The answer by way of the proxy that the environment names for this server; None if it names none."""
        import urllib.error
        import urllib.request

        proxies = urllib.request.getproxies()
        scheme = "https" if self.address.secure else "http"
        if not (proxies.get(scheme) or proxies.get("all")) or urllib.request.proxy_bypass(self.address.host):
            return None

        class Stay(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *_: Any) -> None:
                return None

        request = urllib.request.Request(self.address.root + path, body, dict(self._headers()), method=method)
        try:
            with urllib.request.build_opener(Stay).open(request, timeout=self.timeout) as response:
                return Answer(response.status, _lowered(response.headers), response.read(_MOST))
        except urllib.error.HTTPError as error:
            return Answer(error.code, _lowered(error.headers), error.read(_MOST))
        except urllib.error.URLError as error:
            raise error.reason if isinstance(error.reason, OSError) else OSError(str(error.reason)) from error

    def _headers(self) -> Mapping[str, str]:
        headers = {"Accept": "application/json", "Content-Type": "application/json", **(self.headers or {})}
        return headers | {"Authorization": f"Bearer {self.key}"} if self.key else headers


def _lowered(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def listening(host: str, port: int, timeout: float) -> bool:
    """Whether somebody takes connections there. On this machine, a no takes microseconds."""
    try:
        with socket.create_connection((host, port), timeout):
            return True
    except OSError:
        return False
