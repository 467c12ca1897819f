"""One model of one server: messages in, the same `Token` events out as from a model that runs here.

Replies may be made side by side, each on a line of its own: a server has its own order. Knows no conversations, no
templates and no tools; what it is given besides messages, it passes on.
"""

from __future__ import annotations

import random
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import BackendError, EdgelfmError, ServerTimeout, SessionClosed, StreamBroken
from ...monitor.events import Events
from ..base import Token
from ..cancel import Cancel
from .address import Address
from .body import Wish, check_sendable, request_body
from .chunks import Reader
from .failures import Asked, Failure, from_exception, from_status, quoted
from .library import library
from .line import Line
from .server import ServedModel, Server
from .shapes import mapping, rows

_MOST_IDLE = 4  # lines kept open for the next reply
_FIRST_PAUSE = 0.5  # seconds before the second attempt, doubled for each after it
_FAREWELL = 5.0  # seconds for what comes after the end of a reply: its figures


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds, and how often to try."""

    connect: float = 5.0
    first_token: float = 300.0  # a server may load the model first
    between_tokens: float = 60.0
    retries: int = 4  # after a refused connection or a busy server, before the first token only
    longest_pause: float = 30.0  # what a server may ask us to wait; more is an error at once

    def pause(self, failure: Failure, attempt: int) -> float | None:
        """Seconds to wait after the attempt of this number, counted from 1, ended so. None if it was the last."""
        seconds = failure.wait if failure.wait is not None else _FIRST_PAUSE * 2 ** (attempt - 1)
        if not failure.passing or attempt > self.retries or seconds > self.longest_pause:
            return None
        return seconds * random.uniform(1, 1.25)  # many who wait for the same server should not come back at once


class RemoteSession:
    """Speaks with one model of one server."""

    def __init__(
        self,
        server: Server,
        address: Address,
        model: ServedModel,
        *,
        key: str | None = None,
        patience: Patience | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Raises `BackendMissing` without the openai package. Connects to nothing yet."""
        library()
        self.server, self.address, self.model = server, address, model
        self.patience = patience or Patience()
        self.events = Events()
        self._key, self._headers = key, dict(headers or {})
        self._lock = threading.Lock()
        self._idle: list[Line] = []
        self._busy: set[Line] = set()
        self._closed = False
        self._no_usage = False  # the server refuses to be asked for it
        weakref.finalize(self, _let_go, self._idle)  # people in notebooks close nothing

    @property
    def context(self) -> int:
        """Tokens of prompt and reply together, 0 if the server does not say."""
        return self.model.context or 0

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def chat(self, messages: Sequence[Mapping[str, Any]], wish: Wish, cancel: Cancel) -> Iterator[Token]:
        """Answer `messages`. Raises what `failures` knows; before the first token busy servers are asked again."""
        body = request_body(self.server.kind, self.model.id, wish) | {"messages": list(messages)}
        wanted = " and ".join(["a reply", *(name for name in ("tools", "response_format") if name in body)])
        return self._stream("/chat/completions", body, wanted, cancel, wish.logprobs or 0)

    def complete(self, text: str, wish: Wish, cancel: Cancel) -> Iterator[Token]:
        """Continue `text` as it stands."""
        body = request_body(self.server.kind, self.model.id, wish, chat=False) | {"prompt": text}
        return self._stream("/completions", body, "completions without a chat template", cancel, wish.logprobs or 0)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each text."""
        asked = self._asked("embeddings")
        body = {"model": self.model.id, "input": list(texts), "encoding_format": "float"}

        def ask(line: Line) -> Any:
            line.deadline = time.monotonic() + self.patience.first_token
            with line.watched(_precision(self.patience)):
                return line.client.post("/embeddings", cast_to=object, body=body)

        data = rows(mapping(self._patiently(ask, asked, Cancel())[1]).get("data"))
        if all(isinstance(one.get("index"), int) for one in data):  # the protocol promises no order
            data.sort(key=lambda one: int(one["index"]))
        found: list[list[float]] = [one["embedding"] for one in data if isinstance(one.get("embedding"), list)]
        if len(found) != len(texts) or not all(found):
            raise BackendError(
                f"{self.server.name} at {self.address} sent {len(found)} embeddings for {len(texts)} texts",
                hint="is this an embedding model?",
            )
        return found

    def close(self) -> None:
        """End every reply and let go of every connection. Calling it twice is fine."""
        with self._lock:
            first, self._closed = not self._closed, True
            busy = list(self._busy)
        for line in busy:
            line.hang_up("cancelled")
        _let_go(self._idle)
        if first:
            self.events.emit("close")

    def _stream(self, path: str, body: dict[str, Any], wanted: str, cancel: Cancel, likeliest: int) -> Iterator[Token]:
        asked = self._asked(wanted)
        check_sendable(body)
        reader = Reader(time.perf_counter(), likeliest=likeliest)
        if cancel.is_set():
            yield reader.end("cancelled")
            return
        self.events.emit("prefill")

        def ask(line: Line) -> Any:
            more = {} if self._no_usage else {"stream_options": {"include_usage": True}}
            sent = {**more, **body, "stream": True}
            return line.client.post(
                path, cast_to=object, body=sent, stream=True, stream_cls=library().openai.Stream[object]
            )

        line, stream = self._patiently(ask, asked, cancel)
        if line is None:
            yield reader.end("cancelled")
            return
        sound = False
        try:
            with cancel.watched_by(lambda: line.hang_up("cancelled")), line.watched(_precision(self.patience)):
                try:
                    self._check(stream, asked)
                    yield from self._read(stream, line, reader)
                    sound = line.cut is None
                except (EdgelfmError, GeneratorExit):
                    raise
                except Exception as error:  # whatever a broken stream makes of a parser
                    # After the end of the reply only its figures are missing.
                    if line.cut != "cancelled" and reader.finish is None:
                        raise self._broken(error, line, reader, asked) from error
            if line.cut == "cancelled":
                if self._closed:
                    raise _closed()
                yield self._ended(reader, "cancelled")
            elif reader.finish is None and line.cut == "silent":
                raise self._broken(None, line, reader, asked)
            elif reader.finish is None:
                raise StreamBroken(
                    f"{asked.server.name} at {asked.address} ended the reply of {asked.model} in the middle"
                    f"{_so_far(reader)}",
                    hint="ask again; its own log may say why",
                )
            else:
                yield self._ended(reader, reader.finish)
        finally:
            stream.close()
            self._give_back(line, sound)

    def _read(self, stream: Any, line: Line, reader: Reader) -> Iterator[Token]:
        """Events as they come. The deadline counts only while we wait, not while our reader does; chunks that hold
        nothing do not move it, or a server could keep us with them for ever."""
        patience, listener = self.patience.first_token, self.events
        chunks = iter(stream)
        deadline = time.monotonic() + patience
        while True:
            line.deadline = deadline
            chunk = next(chunks, None)
            line.deadline = None
            if chunk is None:
                return
            first, token = not reader.chunks, reader.read(chunk)
            if reader.finish is not None:
                deadline = min(deadline, time.monotonic() + _FAREWELL)
            if token is None:
                continue
            if first and reader.chunks:
                patience = self.patience.between_tokens
                listener.emit("first_token", seconds=time.perf_counter() - reader.started)
            if listener.token is not None and token.text:
                listener.token(time.perf_counter())
            yield token
            if line.cut:
                return
            deadline = time.monotonic() + (patience if reader.finish is None else _FAREWELL)

    def _patiently(self, ask: Any, asked: Asked, cancel: Cancel) -> tuple[Any, Any]:
        """A line and the answer on it, after as many attempts as patience allows. No line if it was cancelled."""
        woken = threading.Event()
        attempt = 0
        with cancel.watched_by(woken.set):
            while True:
                line = self._take()
                try:
                    with cancel.watched_by(lambda line=line: line.hang_up("cancelled")):  # type: ignore[misc]
                        line.deadline = time.monotonic() + self.patience.first_token + self.patience.connect
                        with line.watched(_precision(self.patience)):
                            answer = ask(line)
                        line.deadline = None
                except Exception as error:  # sorted below; what is not a server's goes on up
                    cut = line.cut
                    self._give_back(line, sound=False)
                    if cut == "cancelled":
                        if self._closed:
                            raise _closed() from None
                        return None, None
                    knew = self._no_usage
                    failure = self._meaning(error, cut, asked)
                    if failure is None:
                        raise
                    attempt += self._no_usage == knew  # to ask otherwise is not to ask again
                    pause = self.patience.pause(failure, attempt)
                    if pause is None:
                        raise failure.error from error
                    if woken.wait(pause):
                        return None, None
                except BaseException:  # Ctrl-C
                    self._give_back(line, sound=False)
                    raise
                else:
                    if not hasattr(answer, "response"):
                        self._give_back(line, sound=line.cut is None)
                    return line, answer

    def _meaning(self, error: Exception, cut: str | None, asked: Asked) -> Failure | None:
        lib = library()
        if cut == "silent":
            return Failure(self._silence(asked, self.patience.first_token))
        if isinstance(error, lib.openai.APIStatusError):
            response = error.response
            headers = {str(name).lower(): str(value) for name, value in response.headers.items()}
            body = _body_of(response)
            if response.status_code == 400 and "stream_options" in body and not self._no_usage:
                self._no_usage = True
                return Failure(from_status(400, headers, body, asked).error, passing=True, wait=0.0)
            return from_status(response.status_code, headers, body, asked)
        if isinstance(error, EdgelfmError):
            return None
        return from_exception(error, asked, lib.packages)

    def _check(self, stream: Any, asked: Asked) -> None:
        """Whether what comes is a stream at all: a captive portal answers 200 to everything."""
        kind = stream.response.headers.get("content-type", "")
        if "event-stream" in kind or not kind:
            return
        said = quoted(_body_of(stream.response))
        raise StreamBroken(
            f"{asked.address} answers with {kind.partition(';')[0]}, not with a stream{': ' if said else ''}{said}",
            hint="check the address: is this a server with the OpenAI protocol?",
        )

    def _broken(self, error: Exception | None, line: Line, reader: Reader, asked: Asked) -> EdgelfmError:
        """What ended a reply that had begun."""
        lib, who = library(), f"{asked.server.name} at {asked.address}"
        if line.cut == "silent":
            patience = self.patience.between_tokens if reader.chunks else self.patience.first_token
            return self._silence(asked, patience, _so_far(reader))
        if isinstance(error, lib.openai.APIError) and error.body is not None:  # an error inside the stream
            import json

            body = json.dumps({"error": error.body}) if not isinstance(error.body, str) else error.body
            code = error.body.get("code") if isinstance(error.body, dict) else None
            if isinstance(code, int) and 400 <= code < 500 and not reader.chunks:
                return from_status(code, {}, body, asked).error
            return StreamBroken(
                f"{who} broke off with an error{_so_far(reader)}: {quoted(body)}", hint="its own log says more"
            )
        if isinstance(error, ValueError) and not isinstance(error, OSError):  # no JSON, no UTF-8
            return StreamBroken(f"{who} sends what is no reply{_so_far(reader)}: {error}", hint="check the address")
        return StreamBroken(
            f"{who} was cut off in the middle of the reply of {asked.model}{_so_far(reader)}",
            hint="is the server still there? Ask again when it is",
        )

    def _silence(self, asked: Asked, seconds: float, so_far: str = "") -> ServerTimeout:
        name = "between_tokens" if so_far else "first_token"
        return ServerTimeout(
            f"{asked.server.name} at {asked.address} sent nothing for {seconds:g} s{so_far}",
            hint=f"wait longer: edgelfm.connect(…, {name}_seconds={seconds * 4:g})",
        )

    def _ended(self, reader: Reader, finish: Any) -> Token:
        token = reader.end(finish)
        if token.timings is not None:
            took = time.perf_counter() - reader.started
            self.events.emit("reply", tokens=token.timings.completion_tokens, seconds=took, note=finish)
        return token

    def _asked(self, wanted: str) -> Asked:
        return Asked(self.server, self.address, self.model.id, self.context, wanted)

    def _take(self) -> Line:
        with self._lock:
            if self._closed:
                raise _closed()
            line = self._idle.pop() if self._idle else None
        if line is None:
            line = Line(
                self.address,
                self._key,
                self._headers,
                connect_seconds=self.patience.connect,
                first_seconds=self.patience.first_token,
            )
        with self._lock:
            self._busy.add(line)
        return line

    def _give_back(self, line: Line, sound: bool) -> None:
        with self._lock:
            self._busy.discard(line)
            if sound and not self._closed and len(self._idle) < _MOST_IDLE:
                self._idle.append(line)
                return
        line.close()


def _closed() -> SessionClosed:
    return SessionClosed("the connection to this model was closed", hint="open it again with edgelfm.connect(…)")


def _let_go(idle: list[Line]) -> None:
    while idle:
        idle.pop().close()


def _precision(patience: Patience) -> float:
    return min(1.0, patience.first_token / 4, patience.between_tokens / 4)


def _so_far(reader: Reader) -> str:
    return f" after {reader.chunks} pieces" if reader.chunks else ""


def _body_of(response: Any) -> str:
    """The text of an answer, as far as it comes."""
    try:
        if not response.is_stream_consumed:
            response.read()
        return str(response.text)
    except Exception:  # noqa: BLE001  an error about an error helps nobody
        return ""
