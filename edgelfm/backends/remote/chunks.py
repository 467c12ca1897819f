"""From the chunks of a streamed answer to `Token` events.

Thinking that a server sends apart is put back between its markers, as the model wrote it, so that everything above
reads one kind of reply. Takes whatever shape comes: what is not understood is passed over, never raised.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ..base import FinishReason, Timings, Token, TokenLogprob
from .shapes import count, mapping, rows, text

OPEN, CLOSE = "<think>", "</think>"
_FINISH: Mapping[str, FinishReason] = {"length": "length", "max_tokens": "length"}


class Reader:
    """Reads the chunks of one reply.

    `started` is when it was asked for, by `time.perf_counter`; `likeliest` how many tokens beside each are wanted.
    """

    def __init__(self, started: float, *, likeliest: int = 0) -> None:
        self.started = started
        self._likeliest = likeliest
        self.finish: FinishReason | None = None  # what the server said of the end
        self.chunks = 0  # that held something of the reply
        self._first = self._last = 0.0
        self._thinking = False
        self._half = ""  # of a surrogate pair whose other half is still to come
        self._usage: Mapping[str, Any] = {}
        self._told: Mapping[str, Any] = {}  # llama-server's own timings
        self._calls: list[dict[str, str]] = []
        self._places: dict[int, dict[str, str]] = {}  # the call that is being written at each index

    def read(self, chunk: Any) -> Token | None:
        """The event that `chunk` is, None if it holds nothing to show."""
        if not isinstance(chunk, dict):
            return None
        self._usage = mapping(chunk.get("usage")) or self._usage
        self._told = mapping(chunk.get("timings")) or self._told
        # The first of several replies, if somebody asked for more.
        choice = next((one for one in rows(chunk.get("choices")) if not count(one.get("index"))), {})
        delta = mapping(choice.get("delta"))
        thought = text(delta.get("reasoning_content")) or text(delta.get("reasoning"))
        said = text(delta.get("content")) or text(choice.get("text"))
        calls = delta.get("tool_calls")
        if isinstance(calls, list):
            self._take_calls(calls)
        if reason := choice.get("finish_reason"):
            self.finish = _FINISH.get(str(reason), "stop")
        logprobs = tuple(_logprobs(choice.get("logprobs"), self._likeliest))
        if not (thought or said or calls):
            return Token((), "", logprobs=logprobs) if logprobs else None
        self._last = time.perf_counter()
        self._first = self._first or self._last
        self.chunks += 1
        return Token((), self._joined(self._marked(thought, said)), logprobs=logprobs)

    def end(self, finish: FinishReason) -> Token:
        """The last event: why it ended, the calls of tools, and what it took."""
        return Token(
            (),
            "\ufffd" if self._half else "",
            finish_reason=finish,
            timings=self.timings(),
            tool_calls=tuple(call for call in self._calls if call["name"]),
        )

    def timings(self) -> Timings:
        """As the server says, else as seen from here: then a chunk counts as a token, and prefill is not known."""
        details = mapping(self._usage.get("prompt_tokens_details"))
        cached = count(details.get("cached_tokens")) or count(self._told.get("cache_n"))
        said = count(self._told.get("prompt_n"))
        return Timings(
            prompt_tokens=count(self._usage.get("prompt_tokens")) or (said + cached if said else 0),
            cached_tokens=cached,
            completion_tokens=count(self._usage.get("completion_tokens"))
            or count(self._told.get("predicted_n"))
            or self.chunks,
            prefill_seconds=_seconds(self._told.get("prompt_ms")),
            decode_seconds=self._last - self._first,
            first_token_seconds=self._first - self.started if self._first else 0.0,
        )

    def _marked(self, thought: str, said: str) -> str:
        parts = []
        if thought:
            parts.append(thought if self._thinking else OPEN + thought)
            self._thinking = True
        if said and self._thinking:
            parts.append(CLOSE)
            self._thinking = False
        return "".join([*parts, said])

    def _joined(self, said: str) -> str:
        """`said` without half a character: JSON can cut one in two, and no terminal or file takes a half."""
        if not self._half and said.isascii():
            return said
        said, self._half = self._half + said, ""
        if said and "\ud800" <= said[-1] <= "\udbff":
            said, self._half = said[:-1], said[-1]
        return said.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _take_calls(self, calls: list[Any]) -> None:
        for place, call in enumerate(calls):
            given, function = mapping(call), mapping(mapping(call).get("function"))
            index = given.get("index")
            number = index if isinstance(index, int) else place
            id, name, arguments = text(given.get("id")), text(function.get("name")), function.get("arguments")
            known = self._places.get(number)
            if known is None or _another(known, id, name):
                known = self._places[number] = {"id": "", "name": "", "arguments": ""}
                self._calls.append(known)
            known["id"] = id or known["id"]
            known["name"] += "" if name == known["name"] else name  # some servers repeat it with every piece
            known["arguments"] += json.dumps(arguments) if isinstance(arguments, dict) else text(arguments)


def _another(known: Mapping[str, str], id: str, name: str) -> bool:
    """Whether a piece begins another call than `known`: servers that send calls whole give all the same index."""
    if id and known["id"]:
        return bool(name) and id != known["id"]
    return bool(name) and _whole(known["arguments"])


def _whole(arguments: str) -> bool:
    try:
        return isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False


def _logprobs(given: Any, likeliest: int) -> Iterator[TokenLogprob]:
    """What came of `logprobs`: of chats a list of tokens, of plain completions four lists beside each other."""
    content = mapping(given).get("content")
    for one in content if isinstance(content, list) else []:
        token = mapping(one)
        top = rows(token.get("top_logprobs"))[:likeliest]
        yield TokenLogprob(*_one(token), tuple(_one(near) for near in top))
    tokens, values = mapping(given).get("tokens"), mapping(given).get("token_logprobs")
    if isinstance(tokens, list) and isinstance(values, list):
        tops = mapping(given).get("top_logprobs")
        for place, (piece, value) in enumerate(zip(tokens, values, strict=False)):
            near = mapping(tops[place]) if isinstance(tops, list) and place < len(tops) else {}
            pairs = [_one({"token": token, "logprob": one}) for token, one in near.items()]
            best = sorted(pairs, key=lambda pair: -pair[2])[:likeliest]
            yield TokenLogprob(*_one({"token": piece, "logprob": value}), tuple(best))


def _one(token: Mapping[str, Any]) -> tuple[int, bytes, float]:
    """Id, bytes, logprob. The id is -1 where the server does not tell it, as most do not."""
    raw, id, value = token.get("bytes"), token.get("id"), token.get("logprob")
    is_bytes = isinstance(raw, list) and all(isinstance(byte, int) and 0 <= byte < 256 for byte in raw)
    piece = bytes(raw) if is_bytes and isinstance(raw, list) else text(token.get("token")).encode("utf-8", "replace")
    return id if isinstance(id, int) else -1, piece, float(value) if isinstance(value, (int, float)) else -math.inf


def _seconds(milliseconds: Any) -> float:
    return float(milliseconds) / 1000 if isinstance(milliseconds, (int, float)) and milliseconds > 0 else 0.0
