"""`lfm.monitor()`: what a model takes and does, live. See static/monitor.js for the page's side.

It looks while somebody looks at it, and at nothing else: hidden, scrolled away or in a closed tab it is idle. It hears
what the model does and does not keep it alive.
"""

from __future__ import annotations

import os
import threading
import weakref
from array import array
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from ..errors import EdgelfmError
from ..live_trace import about_machine, about_model
from ..markup import sheet
from ..monitor.events import Event
from ..monitor.html import reading_bundle
from ..monitor.reading import HERTZ, Sample
from ..monitor.recorder import Recorder
from ..monitor.sampler import Sampler
from ..monitor.speed import Speedometer
from ..monitor.trace import About, Trace
from ..planning.bars import KINDS, LOOKS
from ..units import MIB
from .audience import Audience
from .monitor_rows import COLUMNS, MOST_CORES, packed, row

if TYPE_CHECKING:
    from ..model import Model

_STATIC = Path(__file__).with_name("static")
DRAWN = 240  # readings on the page: a minute
_KEPT = 28_800  # readings that can be saved: two hours at four a second
_MOST_MARKS = 40  # in one message, the latest
_LONGEST_NOTE = 80  # characters


class MonitorPanel(anywidget.AnyWidget):
    """A live panel for one model. `trace` is what it has seen; marks and files can be made from Python too."""

    _esm = _STATIC / "monitor.js"
    _css = sheet() + (_STATIC / "monitor.css").read_text(encoding="utf-8")
    #: What does not change from sample to sample.
    about = traitlets.Dict().tag(sync=True)

    def __init__(self, lfm: Model, *, hertz: float = HERTZ) -> None:
        self._sampler = Sampler()
        self._recorder = Recorder(hertz=hertz, sampler=self._sampler)
        self._trace = Trace(about_model(lfm, about_machine(lfm.host)), keep=_KEPT)
        self._cores = min(os.cpu_count() or 1, MOST_CORES)
        super().__init__(about=_told(self._trace.about, self._cores, self._recorder.hertz))
        self._audience = Audience()
        self._speed = Speedometer()
        self._rows: deque[array[float]] = deque(maxlen=DRAWN)
        self._marks: deque[Event] = deque(maxlen=DRAWN)
        self._status: dict[str, Any] = {"doing": "idle", "tokens": 0, "held": False, "closed": False, "reasons": []}
        self._lock = threading.RLock()  # of all that, and of the order of messages
        self._seq = 0
        me = weakref.ref(self)

        def take(sample: Sample) -> None:
            if (panel := me()) is not None:
                panel._take(sample)

        self._recorder.on_sample(take)
        self._recorder.listen(lfm._session.events)
        self._recorder.pause()  # until somebody looks
        self._recorder.start()

        def gone() -> None:
            if (panel := me()) is not None:
                panel._tell(closed=True)
                panel._settle()

        # The session and not the model: a conversation keeps it, and goes on, when nobody holds the model any more.
        weakref.finalize(lfm._session, gone).atexit = False
        self.on_msg(_hear)

    @property
    def trace(self) -> Trace:
        """What was seen so far. There are gaps where nobody looked."""
        return self._trace

    @property
    def looking(self) -> bool:
        """Whether it samples now."""
        return self._recorder.running and not self._recorder.paused

    def mark(self, note: str = "") -> None:
        """Remark something at this moment; it is drawn, and in the trace."""
        self._recorder.mark(note)
        self._recorder.look()

    def pause(self) -> None:
        """Hold everything as it is now."""
        self._tell(held=True)
        self._settle()

    def resume(self) -> None:
        """Go on."""
        self._tell(held=False)
        self._settle()

    def save(self, path: str | Path | None = None) -> Path:
        """Write the trace as JSON lines, to the working folder if no path is given. Raises `TraceFileError`."""
        if path is None:
            path = Path.cwd() / f"trace-{datetime.now().strftime('%Y%m%d-%H%M%S')}.jsonl"
        saved = self._trace.to_jsonl(path)
        self._tell(saved=str(saved))
        return saved

    def close(self) -> None:
        """End it and leave the page. The trace stays."""
        if (recorder := getattr(self, "_recorder", None)) is not None:
            recorder.stop()
        super().close()

    def _take(self, sample: Sample) -> None:
        """On the recorder's thread, and on that of a mark."""
        with self._lock:
            if self._trace.about.power_source != self._sampler.power_source:
                self._trace.about = replace(self._trace.about, power_source=self._sampler.power_source)
            self._trace.add(sample)
            self._follow(sample)
            one = row(sample.reading, self._speed.at(sample.reading.at), self._cores)
            self._rows.append(one)
            marks = [event for event in sample.events if event.kind == "mark"]
            self._marks += marks
            self._seq += 1
            if self._audience:
                self._say("rows", [one], marks)
        self._audience.count()
        self._settle()

    def _follow(self, sample: Sample) -> None:
        """What is the model doing?"""
        firsts = [event.at for event in sample.events if event.kind == "first_token"]
        self._speed.add(sample.tokens, firsts)
        status = self._status
        status["tokens"] += len(sample.tokens)
        for event in sample.events:
            if event.kind == "prefill":
                status.update(doing="prefill", tokens=event.tokens or 0)
            elif event.kind == "first_token":
                written = sum(at >= event.at for at in sample.tokens)
                status.update(doing="reply", first=event.seconds, tokens=written)
            elif event.kind == "reply":
                status.update(doing="idle", tokens=event.tokens or 0)
            elif event.kind == "close":
                status.update(doing="idle", closed=True)
        status["reasons"] = list(sample.reading.throttled or ())

    def _settle(self) -> None:
        """Look or do not look, as it should be now."""
        if self._status["closed"]:
            self._recorder.stop(wait=False)
        elif self._audience and not self._status["held"]:
            if self._recorder.paused:
                self._recorder.resume()
        elif not self._recorder.paused:
            self._recorder.pause()

    def _tell(self, **known: Any) -> None:
        """Something besides the figures has changed."""
        with self._lock:
            self._status.update(known)
            self._say("status", [], [])

    def _say(self, kind: str, rows: Sequence[array[float]], marks: Sequence[Event]) -> None:
        if self.comm is None:
            return
        told = [{"at": event.at, "note": event.note[:_LONGEST_NOTE]} for event in marks[-_MOST_MARKS:]]
        said = {"kind": kind, "seq": self._seq, "rows": len(rows), "marks": told, "status": dict(self._status)}
        self.send(said, buffers=[packed(rows)])

    def _heard(self, said: Mapping[str, Any]) -> None:
        kind = said.get("kind")
        if kind in ("hello", "beat", "gone"):
            self._audience.heard(str(said.get("view")), visible=kind != "gone" and bool(said.get("visible")))
            if kind == "hello":
                with self._lock:
                    self._say("history", list(self._rows), list(self._marks))
            self._settle()
        elif kind == "mark":
            self.mark(str(said.get("note", ""))[:_LONGEST_NOTE])
        elif kind == "pause":
            self.pause()
        elif kind == "resume":
            self.resume()
        elif kind == "save":
            try:
                self.save()
            except (EdgelfmError, OSError) as error:
                self._tell(problem=str(error))

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        fallback = reading_bundle(self._trace)
        made = super()._repr_mimebundle_(**kwargs)
        if made is None:
            return fallback
        # A page is about to say that it looks. With Run All it is heard only when the next cells are done.
        self._audience.heard("about to be shown", visible=True)
        self._settle()
        data, metadata = made
        return {**data, **fallback}, metadata


def _hear(panel: MonitorPanel, said: object, buffers: object) -> None:
    if isinstance(said, Mapping):
        panel._heard(said)


def _told(about: About, cores: int, hertz: float) -> dict[str, Any]:
    predicted = about.predicted_bytes
    return {
        "title": about.subject,
        "machine": about.machine,
        "columns": list(COLUMNS),
        "cores": cores,
        "hertz": hertz,
        "drawn": DRAWN,
        "predicted": predicted and predicted / MIB,
        "held": [
            {"name": part.name, "look": LOOKS[KINDS.get(part.name, "other")], "mib": part.bytes / MIB}
            for part in about.held
        ],
        "context": about.context,
    }
