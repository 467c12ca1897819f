"""Short questions to a server, with the standard library alone: finding out must not wait for heavy imports.

Answers are whatever came, status and all; only what is no answer raises. A key goes to the address it was given for and
nowhere else: no redirect is followed.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .address import Address
from .proxies import proxy_for

_MOST = 8 * 1024**2  # bytes of an answer; a list of models has some kilobytes
_PARTS = 4  # times the time-out of a part, for a whole answer
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
    """Asks one server. `timeout` in seconds holds for connecting and for each part of an answer, of which a whole one
    may take four."""

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
        place, headers = self.address, dict(self._headers())
        proxy = proxy_for(place)
        host, port = (proxy.host, proxy.port) if proxy is not None else (place.host, place.port)
        told = {"Proxy-Authorization": proxy.authorization} if proxy is not None and proxy.authorization else {}
        inside = place.root.partition("://")[2].partition("/")[2]
        target = f"/{inside}{path}" if inside else path
        connection: http.client.HTTPConnection
        if place.secure:
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(host, port, timeout=self.timeout, context=context)
            if proxy is not None:
                connection.set_tunnel(place.host, place.port, told)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=self.timeout)
            if proxy is not None:
                target, headers = place.root + path, headers | told
        try:
            connection.connect()
            with _ended_after(self.timeout * _PARTS, connection.sock):
                connection.request(method, target, body, headers)
                response = connection.getresponse()
                return Answer(response.status, _lowered(response.headers), response.read(_MOST))
        except UnicodeError as error:  # a name that no host can have
            raise socket.gaierror(f"no host can be called {place.host!r}") from error
        finally:
            connection.close()

    def _headers(self) -> Mapping[str, str]:
        headers = {"Accept": "application/json", "Content-Type": "application/json", **(self.headers or {})}
        return headers | {"Authorization": f"Bearer {self.key}"} if self.key else headers


@contextlib.contextmanager
def _ended_after(seconds: float, connection: socket.socket) -> Iterator[None]:
    """Raises `TimeoutError` where the block takes longer: a camera at a usual port never comes to its end."""
    ended = threading.Event()

    def end() -> None:
        ended.set()
        with contextlib.suppress(OSError):  # it was closed already
            socket.socket.shutdown(connection, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except UNANSWERED:
        if not ended.is_set():
            raise
    finally:
        timer.cancel()
    if ended.is_set():
        raise TimeoutError(f"the answer took longer than {seconds:g} s")


def _lowered(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def listening(host: str, port: int, timeout: float) -> bool:
    """Whether somebody takes connections there. On this machine, a no takes microseconds."""
    try:
        with socket.create_connection((host, port), timeout):
            return True
    except OSError:
        return False
