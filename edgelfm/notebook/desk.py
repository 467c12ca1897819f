"""What a chat in a page does: takes what a person wants, has it done by the worker, and feeds the page.

Knows no widgets: `send` is a function, and `hear` takes what a page says. So all of it can be driven from a test.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import EdgelfmError
from . import exporting
from .feed import Feed
from .transcript import Transcript, message
from .worker import Worker

if TYPE_CHECKING:
    from ..chat import Conversation, Reply, Stream
    from ..model import Model

Options = Mapping[str, Any]


class Desk:
    """One conversation with one model, in as many views as there are.

    `options` gives the keywords of the next reply. `open` and `new` begin, `hear` takes messages of the page.
    """

    def __init__(
        self,
        send: Callable[[Mapping[str, Any]], None],
        worker: Worker,
        *,
        options: Callable[[], Options] = dict,
        system: Callable[[], str | None] = lambda: None,
        beat: Callable[[Callable[[], None]], None] = lambda then: then(),
    ) -> None:
        me = weakref.ref(self)

        def abandoned() -> None:
            if (desk := me()) is not None:
                desk.stop()

        self._send, self._worker, self._options, self._system = send, worker, options, system
        self.feed = Feed(send, beat=beat, on_abandoned=abandoned)
        self._transcript: Transcript | None = None
        self._stream: Stream | None = None
        self._lock = threading.Lock()  # of who is busy
        self._busy = False
        self._stopped = threading.Event()  # somebody wants the present reply to end
        self.model: Model | None = None
        self.reply: Reply | None = None  # the latest that was written here
        self.feed.status(ready=False, busy=False, title="", notice=None)

    @property
    def conversation(self) -> Conversation | None:
        """What is shown."""
        return self._transcript.talk if self._transcript is not None else None

    @property
    def busy(self) -> bool:
        """Whether a reply is being written or waits for its turn."""
        return self._busy

    def open(self, model: Model, talk: Conversation | None = None) -> None:
        """Chat with `model`, in `talk` or in a new conversation."""
        self.stop()
        self.model = model
        talk = model.conversation(system=self._system() or None) if talk is None else talk
        self._transcript = Transcript(talk, model.entry.name)
        self.feed.put(
            {"op": "path", "keys": []},
            *self._transcript.changes(),
            {"op": "status", "status": {"ready": True, "busy": self._busy, "notice": None, "title": self._title()}},
        )

    def shut(self, why: str) -> None:
        """There is no model any more."""
        self.stop()
        self.model = None
        self.feed.status(ready=False, busy=self._busy, title="", waiting=why)

    def tell(self, error: BaseException) -> None:
        """Show an error in the page, with what to do."""
        text, hint = f"{type(error).__name__}: {error}", ""
        if isinstance(error, EdgelfmError):
            text, hint = error.message, error.hint
        self.feed.status(notice={"kind": "error", "text": text, "hint": hint})

    def hear(self, said: Mapping[str, Any]) -> None:
        """One message of the page. A wrong one is shown as an error there, never raised here."""
        view = str(said.get("view", ""))
        kind = said.get("kind")
        try:
            if kind == "ack":
                self.feed.ack(view, int(said.get("seq", 0)), float(said.get("seconds", 0)))
            elif kind == "hello":
                self.feed.hello(view)
            elif kind == "sync":
                self.feed.snapshot()
            elif kind == "bye":
                self.feed.goodbye(view)
            else:
                self._do(str(kind), said, view)
        except Exception as error:  # noqa: BLE001  it came from a page, so it is answered there
            self.tell(error)

    def send(self, text: str) -> None:
        """Say `text`. Returns at once; the reply is written by the worker."""
        self._reply(lambda talk, options: talk.stream(text, **options), asked=text)

    def ask(self, text: str) -> None:
        """Say `text` and write the reply here and now. For somebody who is the worker already."""
        self._reply(lambda talk, options: talk.stream(text, **options), asked=text, now=True)

    def regenerate(self) -> None:
        """Answer the last message again."""
        self._reply(lambda talk, options: talk.regenerate_stream(**options), drop=1)

    def edit(self, turn: int, text: str) -> None:
        """Say `text` in place of what was said in `turn`."""
        self._reply(lambda talk, options: talk.edit_stream(turn, text, **options), asked=text, turn=turn)

    def new(self) -> None:
        """Begin another conversation with the same model."""
        if self.model is not None:
            self.open(self.model)

    def stop(self) -> None:
        """End the reply that is being written. What is there stays."""
        self._stopped.set()  # it may not have begun yet
        stream = self._stream
        if stream is not None:
            stream.cancel()

    def close(self) -> None:
        """End everything that goes on here. The model is somebody else's."""
        self.stop()
        self.feed.close()

    def export(self, format: str) -> tuple[str, str, str]:
        """The chat as "python" or "json": a file name, its text, its type."""
        assert self._transcript is not None
        assert self.model is not None
        if format == "json":
            return "chat.json", exporting.as_json(self._transcript.talk), "application/json"
        command = self.model.candidate.load_command or f"edgelfm.load({self.model.entry.id!r})"
        return "chat.py", exporting.as_python(self._transcript.talk, command, self._options()), "text/x-python"

    def _do(self, kind: str, said: Mapping[str, Any], view: str) -> None:
        if kind == "stop":
            self.stop()
            self.feed.snapshot()  # an answer, even if there was nothing to stop
            return
        transcript = self._transcript
        if transcript is None or self._busy:
            self.feed.snapshot()  # that page shows something old
            return
        if kind == "send":
            self.send(str(said["text"]))
        elif kind == "regenerate":
            self.regenerate()
        elif kind == "new":
            self.new()
        elif kind == "export":
            name, text, type = self.export(str(said["format"]))
            self._send({"kind": "file", "view": view, "name": name, "text": text, "type": type})
        elif kind == "edit":
            turn = transcript.turn(str(said["key"]))
            if turn is not None:
                self.edit(turn, str(said["text"]))
        else:
            self._walk(transcript, kind, said)

    def _walk(self, transcript: Transcript, kind: str, said: Mapping[str, Any]) -> None:
        """Go to another place of the tree."""
        node = transcript.node(str(said["key"]))
        if node is None:
            self.feed.snapshot()
            return
        if kind == "branch":
            transcript.talk.back_to(node)
        elif kind == "version":
            versions = [one for one in transcript.talk.tree.siblings(node.id) if one.message.role == node.message.role]
            transcript.talk.switch(versions[max(0, min(int(said["at"]) - 1, len(versions) - 1))])
        self._show(transcript)

    def _reply(
        self,
        begin: Callable[[Conversation, Options], Stream],
        *,
        asked: str | None = None,
        turn: int | None = None,
        drop: int = 0,
        now: bool = False,
    ) -> None:
        """Have a reply written and show it as it comes.

        `asked` is a new question, in place of `turn` if that is given; `drop` messages at the end go out of sight.
        With `now` it is written by whoever calls.
        """
        transcript = self._transcript
        with self._lock:
            if transcript is None or self._busy:
                return
            self._busy = True
            self._stopped.clear()
        keys = transcript.keys()
        if turn is not None:
            said = [at for at, node in enumerate(transcript.talk.tree.path()) if node.message.role == "user"]
            keys = keys[: said[turn]]
        elif drop and transcript.talk.messages and transcript.talk.messages[-1].role == "assistant":
            keys = keys[:-drop]
        new = [transcript.key() for _ in range(1 if asked is None else 2)]
        ops: list[dict[str, Any]] = []
        if asked is not None:
            ops.append({"op": "put", "key": new[0], "message": message("user", asked)})
        name = self.model.entry.name if self.model is not None else ""
        writing = message("assistant", name=name, state="writing")
        ops += [
            {"op": "put", "key": new[-1], "message": writing},
            {"op": "path", "keys": [*keys, *new]},
            {"op": "status", "status": {"busy": True, "notice": None}},
        ]
        self.feed.put(*ops)
        if now:
            self._write(transcript, begin, new)
        else:
            self._worker.submit(lambda: self._write(transcript, begin, new))

    def _write(self, transcript: Transcript, begin: Callable[[Conversation, Options], Stream], keys: list[str]) -> None:
        """In the worker: read the stream into the feed."""
        text, key = self.feed.text, keys[-1]
        self.reply = None
        self.feed.start()
        try:
            with begin(transcript.talk, self._options()) as stream:
                self._stream = stream
                if self._stopped.is_set():
                    stream.cancel()
                for piece in stream.pieces():
                    text(key, piece.kind, piece.text)
            self.reply = stream.reply
            transcript.answered(keys, stream.reply)
            if not stream.reply and not stream.reply.thinking and stream.reply.finish_reason == "cancelled":
                self.feed.status(notice={"kind": "info", "text": "Stopped before the first word; nothing was kept."})
        except Exception as error:  # noqa: BLE001  whatever it was, it is shown and the chat goes on
            self.tell(error)
        finally:
            self._stream = None
            self.feed.stop()
            self._busy = False
            self._show(transcript)

    def _show(self, transcript: Transcript) -> None:
        """Show where the conversation is, unless another has taken its place meanwhile."""
        changes = transcript.changes() if transcript is self._transcript else []
        self.feed.put(*changes, {"op": "status", "status": {"busy": self._busy, "title": self._title()}})

    def _title(self) -> str:
        model, talk = self.model, self.conversation
        if model is None or talk is None:
            return ""
        name = f"{model.entry.name} {model.candidate.quantization}"
        return f"{name} · {talk.context_used:,} of {model.context:,} tokens"
