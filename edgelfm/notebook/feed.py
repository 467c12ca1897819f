"""What a widget shows, sent to the browser as numbered changes, ten times a second at most.

Whoever writes a reply hands over each piece of text and goes on; a thread of its own joins the pieces and sends them.
Views say what has arrived. A view that is slow gets fewer and larger messages, one that missed something asks for the
whole, and `on_abandoned` is called when nobody answers any more. Knows nothing of models and widgets: `send` is a
function.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

Op = dict[str, Any]
_INTERVAL = 0.1  # seconds between messages while a reply streams
_SLOW = 0.5  # seconds between them when views lag behind
_LAG = 25  # messages that views may be behind; they answer once a second
_BEAT = 1.0  # seconds between looks whether anybody is still there
_PATIENCE = 10  # such looks in a row that found nobody


class Feed:
    """A document of messages, and its changes on their way to every view.

    The document is `{"messages": {key: message}, "path": [key], "status": {…}}`. Changes are

        {"op": "put", "key": …, "message": {…}}           a message, new or instead of the old one
        {"op": "text", "key": …, "part": …, "add": …}     more of a message's text
        {"op": "path", "keys": […]}                       what is shown, in order; the rest is forgotten
        {"op": "status", "status": {…}}                   what else is to be known

    `send` gets `{"kind": "ops", "epoch", "seq", "ops"}` or `{"kind": "snapshot", "epoch", "seq", "document"}`.
    """

    def __init__(
        self,
        send: Callable[[Mapping[str, Any]], None],
        *,
        beat: Callable[[Callable[[], None]], None] = lambda then: then(),
        on_abandoned: Callable[[], None] = lambda: None,
        interval: float = _INTERVAL,
        beat_seconds: float = _BEAT,
        patience: int = _PATIENCE,
    ) -> None:
        """`beat` calls a function soon, on the thread that hears views: while that is busy, silence means nothing.

        `on_abandoned` is called when nobody was heard for `patience` beats in a row while a reply was streaming.
        """
        self._send, self._beat, self._on_abandoned = send, beat, on_abandoned
        self._interval, self._beat_seconds, self._patience = interval, beat_seconds, patience
        self._epoch = uuid.uuid4().hex[:8]
        self._lock = threading.RLock()  # of the document and of the order of messages
        self._waiting: deque[Op | tuple[str, str, str]] = deque()  # changes, pieces of text as bare tuples
        self._wake = threading.Event()
        self._document: dict[str, Any] = {"messages": {}, "path": [], "status": {}}
        self._seq = self._acked = 0
        self._views: dict[str, float] = {}  # seconds from one drawing to the next
        self._seen = False  # whether there ever was a view
        self._silence = 0  # beats since any view was heard
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()
        self._closed = False
        self.sent = 0  # messages so far

    @property
    def views(self) -> int:
        """Views that have said hello and not goodbye."""
        return len(self._views)

    def text(self, key: str, part: str, add: str) -> None:
        """More text of a message. Costs the caller next to nothing."""
        self._waiting.append((key, part, add))
        if not self._wake.is_set():
            self._wake.set()

    def put(self, *ops: Op) -> None:
        """Changes that are to be seen at once, after all text before them."""
        self._waiting.extend(ops)
        self.flush()

    def status(self, **known: Any) -> None:
        """Change what is known besides the messages."""
        self.put({"op": "status", "status": known})

    def document(self) -> dict[str, Any]:
        """A copy of what is shown, everything handed over so far included."""
        with self._lock:
            self.flush()
            return _copied(self._document)

    def flush(self) -> None:
        """Send what waits, now. Nothing is sent while there is no view; it will ask for the whole."""
        with self._lock:
            ops = [op for op in self._drained() if _apply(self._document, op)]
            if not ops:
                return
            self._seq += 1
            if self._views and not self._closed:
                self.sent += 1
                self._send({"kind": "ops", "epoch": self._epoch, "seq": self._seq, "ops": ops})

    def hello(self, view: str) -> None:
        """A view is there and knows nothing."""
        with self._lock:
            if not self._views:
                self._acked = self._seq
            self._hear(view)
            self.snapshot()

    def snapshot(self) -> None:
        """Tell every view the whole."""
        with self._lock:
            self.flush()
            if self._closed:
                return
            self.sent += 1
            self._send(
                {"kind": "snapshot", "epoch": self._epoch, "seq": self._seq, "document": _copied(self._document)}
            )

    def ack(self, view: str, seq: int, seconds: float = 0.0) -> None:
        """A view has everything up to `seq`, and draws every so many seconds."""
        with self._lock:
            self._hear(view)
            self._views[view] = seconds
            self._acked = max(self._acked, min(seq, self._seq))

    def goodbye(self, view: str) -> None:
        """A view is gone."""
        with self._lock:
            self._views.pop(view, None)

    def start(self) -> None:
        """A reply begins: send text as it comes until `stop`."""
        with self._lock:
            if self._thread is None and not self._closed:
                self._silence = 0
                self._ending = threading.Event()
                self._thread = threading.Thread(
                    target=self._run, args=(self._ending,), name="edgelfm-feed", daemon=True
                )
                self._thread.start()

    def stop(self) -> None:
        """The reply has ended; what is left goes out."""
        thread, self._thread = self._thread, None
        self._ending.set()
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self.flush()

    def close(self) -> None:
        """Nothing is sent after this."""
        self.stop()
        self._closed = True

    def _run(self, ending: threading.Event) -> None:
        next_beat = time.monotonic() + self._beat_seconds
        asked = threading.Event()  # a beat is on its way

        def beaten() -> None:
            asked.clear()
            with self._lock:
                if self._seen and (not self._views or self._acked < self._seq):
                    self._silence += 1
            if self._silence == self._patience:
                self._on_abandoned()

        while not ending.is_set():
            self._wake.wait(self._beat_seconds)
            self._wake.clear()
            self.flush()
            if time.monotonic() >= next_beat and not asked.is_set():
                next_beat = time.monotonic() + self._beat_seconds
                asked.set()
                self._beat(beaten)
            ending.wait(self._pause())

    def _pause(self) -> float:
        """Seconds to the next message: no more are sent than the quickest view draws, and few to those that lag."""
        with self._lock:
            wanted = min(self._views.values(), default=0.0)
            if self._views and self._seq - self._acked > _LAG:
                wanted = _SLOW
        return max(self._interval, min(wanted, _SLOW))

    def _hear(self, view: str) -> None:
        self._views.setdefault(view, 0.0)
        self._seen, self._silence = True, 0

    def _drained(self) -> list[Op]:
        """What waits, neighbouring pieces of the same text joined."""
        ops: list[Op] = []
        texts: list[str] = []
        where: tuple[str, str] | None = None

        def end_text() -> None:
            if where is not None and texts:
                ops.append({"op": "text", "key": where[0], "part": where[1], "add": "".join(texts)})
                texts.clear()

        while self._waiting:
            one = self._waiting.popleft()
            if isinstance(one, tuple):
                if one[:2] != where:
                    end_text()
                    where = one[:2]
                texts.append(one[2])
            else:
                end_text()
                where = None
                ops.append(one)
        end_text()
        return ops


def _apply(document: dict[str, Any], op: Op) -> bool:
    """Whether there was something to change: text of a message that is not shown any more is dropped."""
    messages = document["messages"]
    if op["op"] == "text":
        if op["key"] not in messages:
            return False
        messages[op["key"]][op["part"]] += op["add"]
    elif op["op"] == "put":
        messages[op["key"]] = dict(op["message"])
    elif op["op"] == "path":
        document["path"] = list(op["keys"])
        document["messages"] = {key: one for key, one in messages.items() if key in set(op["keys"])}
    else:
        document["status"].update(op["status"])
    return True


def _copied(document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "messages": {key: dict(message) for key, message in document["messages"].items()},
        "path": list(document["path"]),
        "status": dict(document["status"]),
    }
