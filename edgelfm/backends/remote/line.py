"""One connection to a server, kept from one reply to the next, that can be cut at any moment from any thread.

A thread that waits for a server sleeps in the operating system, before the first byte as well as between two. Shutting
the socket down wakes it, and tells the server that nobody listens any more. So a line knows its socket, and has one.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from .address import Address
from .library import Library, library
from .proxies import Proxy, proxy_for


class Line:
    """A client with one connection. `cut` says why it was cut, None if it was not."""

    def __init__(
        self,
        address: Address,
        key: str | None,
        headers: Mapping[str, str],
        *,
        connect_seconds: float,
        first_seconds: float,
    ) -> None:
        """Connecting may take the first of the seconds; what comes after it is given the others."""
        lib = library()
        self._first_seconds = first_seconds
        self.cut: Literal["cancelled", "silent"] | None = None
        self._socket: socket.socket | None = None
        #: When to be silent is to be gone, by `time.monotonic`; None while nobody waits.
        self.deadline: float | None = None
        self._http = lib.http.Client(
            limits=lib.http.Limits(max_connections=1, max_keepalive_connections=1),
            timeout=lib.http.Timeout(None, connect=connect_seconds),
            verify=_trust() if address.secure else False,
            trust_env=False,  # what of it holds for this server is given here
            **_through(proxy_for(address), lib),
            follow_redirects=False,  # the key is for this server
            event_hooks={"request": [self._prepare]},
        )
        self.client = lib.openai.OpenAI(
            base_url=address.api,
            # Never one from the environment: that is for another server.
            api_key=key or "none",
            max_retries=0,
            http_client=self._http,
            default_headers=dict(headers),
        )
        self.client.organization = self.client.project = None  # these too it would take from the environment
        own = key or any(name.lower() == "authorization" for name in headers)
        self._unsent = ("x-stainless-",) if own else ("x-stainless-", "authorization")

    def _prepare(self, request: Any) -> None:
        """Learn the socket, and keep back what this server has not been promised: a key that is none, and the
        description of this machine that openai sends along."""
        for name in [name for name in request.headers if name.lower().startswith(self._unsent)]:
            del request.headers[name]

        def trace(event: str, info: Mapping[str, Any]) -> None:
            if event.endswith(("connect_tcp.complete", "start_tls.complete")):
                self._socket = info["return_value"].get_extra_info("socket")
                self.deadline = time.monotonic() + self._first_seconds
                if self.cut:
                    self._shut()

        request.extensions = {**request.extensions, "trace": trace}

    def hang_up(self, why: Literal["cancelled", "silent"]) -> None:
        """Wake whoever waits for the server; that ends with an error there. The line is of no more use."""
        if self.cut is None:
            self.cut = why
        self._shut()

    def _shut(self) -> None:
        connection = self._socket
        if connection is not None:
            with contextlib.suppress(OSError):  # it was closed already
                # Of the plain socket: that of TLS would forget its keys while another thread reads with them.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    @contextlib.contextmanager
    def watched(self, precision: float) -> Iterator[None]:
        """While the block runs, the line is cut when `deadline` has passed: at most `precision` seconds later.

        Whoever waits sets the deadline, and takes it away when he does not wait. The watcher looks from time to time,
        so that this costs nothing at each token.
        """
        done = threading.Event()

        def watch() -> None:
            while not done.wait(precision):
                if self.deadline is not None and time.monotonic() > self.deadline:
                    self.hang_up("silent")
                    return

        threading.Thread(target=watch, name="edgelfm-remote", daemon=True).start()
        try:
            yield
        finally:
            done.set()

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()


def _through(proxy: Proxy | None, lib: Library) -> dict[str, Any]:
    if proxy is None:
        return {}
    headers = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
    return {"proxy": lib.http.Proxy(proxy.url, headers=headers)}


def _trust() -> Any:
    import ssl

    return ssl.create_default_context()
