"""A server with the OpenAI protocol that does what a test tells it: answer, refuse, talk nonsense, hang, die.

Every request is kept in `requests`. What it says to `POST`s is a list of plays, one each, the last one for all further.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Play = Callable[["Handler"], None]


@dataclass
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass
class FaultServer:
    url: str
    pages: dict[str, tuple[int, Any]] = field(default_factory=dict)  # what GET finds
    shows: Mapping[str, Any] = field(default_factory=dict)  # what Ollama's `/api/show` tells of each model
    plays: list[Play] = field(default_factory=list)
    gets: Play | None = None  # what is played to `GET`s in place of the pages
    requests: list[Request] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)  # hanging plays end
    hanging: threading.Event = field(default_factory=threading.Event)  # a play has begun to hang
    gone: threading.Event = field(default_factory=threading.Event)  # somebody hung up while we waited

    @property
    def asked(self) -> list[Any]:
        """Bodies of the requests for replies."""
        return [one.body for one in self.requests if one.method == "POST" and not one.path.startswith("/api/")]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fault: FaultServer

    def do_GET(self) -> None:
        self._keep()
        (self.fault.gets or Handler._page)(self)

    def do_POST(self) -> None:
        self._keep()
        if self.path == "/api/show":
            found = self.fault.shows.get(self.fault.requests[-1].body["model"])
            self.say(200 if found else 404, found or {"error": "model not found"})
            return
        plays = self.fault.plays
        (plays.pop(0) if len(plays) > 1 else plays[0])(self)

    def _keep(self) -> None:
        text = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.fault.requests.append(Request(self.command, self.path, headers, json.loads(text) if text else None))

    def _page(self) -> None:
        status, data = self.fault.pages.get(self.path, (404, {"error": "not found"}))
        self.say(status, data)

    def say(self, status: int, data: Any, headers: Mapping[str, str] | None = None) -> None:
        """A whole answer: JSON, or a text as it is."""
        text = data.encode() if isinstance(data, str) else json.dumps(data).encode()
        self.send_response(status)
        given = {"Content-Type": "text/html" if isinstance(data, str) else "application/json", **(headers or {})}
        for name, value in {**given, "Content-Length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def event(self, data: Any) -> None:
        self.raw(f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode())

    def raw(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def finish_stream(self) -> None:
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def hang(self) -> None:
        """Say nothing until the test is over or the other side hangs up."""
        self.connection.settimeout(0.05)
        self.fault.hanging.set()
        while not self.fault.released.is_set():
            try:
                if not self.connection.recv(1):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        if not self.fault.released.is_set():
            self.fault.gone.set()
        self.close_connection = True

    def die(self) -> None:
        """What a killed process leaves: a reset connection."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # it died, as it was told to
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        pass


def chunk(text: str | None = None, *, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """One event of a chat."""
    said = {**({"content": text} if text is not None else {}), **delta}
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": said, "finish_reason": finish}]}


def usage(prompt: int, completion: int, cached: int = 0) -> dict[str, Any]:
    told = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    return {"choices": [], "usage": told}


def replies(*texts: str, more: Sequence[dict[str, Any]] = (), finish: str = "stop") -> Play:
    """A whole reply in pieces, then whatever else."""

    def play(handler: Handler) -> None:
        handler.begin()
        for text in texts:
            handler.event(chunk(text))
        handler.event(chunk(finish=finish))
        for one in more:
            handler.event(one)
        handler.finish_stream()

    return play


def streams(*events: Any, then: Callable[[Handler], None] = Handler.finish_stream) -> Play:
    """Events as they are given, then the end, or what else is told."""

    def play(handler: Handler) -> None:
        handler.begin()
        for one in events:
            handler.event(one)
        then(handler)

    return play


def says(status: int, data: Any, **headers: str) -> Play:
    """A whole answer; underscores in the names of headers stand for hyphens."""
    return lambda handler: handler.say(status, data, {name.replace("_", "-"): value for name, value in headers.items()})


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Somebody hung up, as tests do."""


@contextmanager
def fault_server(*plays: Play, models: Sequence[Mapping[str, Any]] = ({"id": "tiny"},)) -> Iterator[FaultServer]:
    """The server on a port of its own, gone when the block ends."""
    handler = type("ThisHandler", (Handler,), {})
    http = _Quiet(("127.0.0.1", 0), handler)
    fault = FaultServer(f"http://127.0.0.1:{http.server_address[1]}", plays=list(plays or [replies("Hello")]))
    fault.pages["/v1/models"] = (200, {"object": "list", "data": list(models)})
    handler.fault = fault  # type: ignore[attr-defined]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield fault
    finally:
        fault.released.set()
        http.shutdown()
        thread.join()
        http.server_close()
