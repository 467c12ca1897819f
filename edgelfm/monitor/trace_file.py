"""A trace as JSON lines, written as it goes so that a crash loses no more than the last line, and back without loss.

The first line says what the file is and what was recorded; each of the others has one of four keys:

    {"format": "edgelfm trace", "version": 1, "about": {…}}
    {"tokens": [12.041, 12.057]}        moments at which tokens were sampled
    {"event": {"at": 12.03, "kind": "first_token", "seconds": 0.08}}
    {"reading": {"at": 12.25, "resident_bytes": 240123904, …}}
    {"about": {…}}                      what is now known of what was recorded

Every time is in seconds since the recording began, every size in bytes. What is not known is left out. A key that this
version does not know is passed over. Events and tokens stand before the reading that found them.
"""

from __future__ import annotations

import json
import os
import weakref
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..atomic import write_atomically
from ..errors import NoDiskSpace, TraceFileError
from .events import Event
from .reading import GpuReading, Reading, Sample
from .trace import About, Trace

if TYPE_CHECKING:
    from pydantic import TypeAdapter

FORMAT, VERSION = "edgelfm trace", 1
#: A recording that somebody forgot must not fill the disk. Some two days at four readings a second.
MOST_BYTES = 256 * 1024**2

_FILLER = b"\0 \r"  # what a power cut may leave at the end
_AGAIN = "record anew with: edgelfm.record(lfm)"
_READING = tuple(field.name for field in fields(Reading) if field.name != "gpus")
_EVENT = tuple(field.name for field in fields(Event))
_GPU = tuple(field.name for field in fields(GpuReading))


@dataclass(frozen=True, slots=True)
class _Line:
    """What a line may hold."""

    format: str | None = None
    version: int | None = None
    about: About | None = None
    reading: Reading | None = None
    event: Event | None = None
    tokens: tuple[float, ...] = ()


class TraceWriter:
    """A file that grows with a recording. Raises `TraceFileError` if it cannot be begun.

    Every sample goes to the system at once, in one piece. When the disk is full or the file has become too long it is
    left as it is, and `problem` says why; the recording goes on.
    """

    def __init__(self, path: Path, about: About, *, most: int = MOST_BYTES) -> None:
        self.path = path
        self.problem = ""
        self._room = most
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise _unwritable(path, error) from error
        self._close = weakref.finalize(self, os.close, self._file)
        self._write(_header(about))

    def add(self, sample: Sample) -> None:
        """One more sample."""
        self._write(_sample(sample))

    def about(self, about: About) -> None:
        """What was recorded is better known now."""
        self._write(_line({"about": _about(about)}))

    def close(self) -> None:
        """Nothing more comes. Calling it twice is fine."""
        self._close()

    def _write(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        if self.problem or not self._close.alive:
            return
        if len(data) > self._room:
            self.problem = f"{self.path} has reached its limit; what came later is not in it"
            return
        self._room -= len(data)
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            self.problem = f"{self.path} is not written any more: {error.strerror or error}"


def write(trace: Trace, path: Path) -> Path:
    """Write all of `trace` so that `path` holds it or what it held before."""
    parts = [_header(trace.about), *(_sample(sample) for sample in trace.samples())]
    try:
        write_atomically(path, ["".join(parts).encode("utf-8", "replace")])
    except NoDiskSpace:
        raise
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


def read(path: Path) -> Trace:
    """The trace in a file. Raises `TraceFileError` naming file and line."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TraceFileError(
            f"{path}: cannot be read: {error.strerror or error}", hint="look for it with: ls *.jsonl"
        ) from error
    *lines, last = data.split(b"\n")
    trace = Trace(path=path)
    events: list[Event] = []
    tokens: list[float] = []
    for number, text in enumerate([*lines, last], start=1):
        cut_short = number > len(lines)  # without an end of line: all of it is there only if it makes sense
        if cut_short and not text.strip(_FILLER):
            break
        try:
            line = _parse(text, path, number)
        except TraceFileError:
            if cut_short and number > 1:
                break
            raise
        if line.about is not None:
            trace.about = line.about
        if line.event is not None:
            events.append(line.event)
        tokens += line.tokens
        if line.reading is not None:
            trace.add(Sample(line.reading, tuple(events), tuple(tokens)))
            events.clear()
            tokens.clear()
    if not lines and not last.strip(_FILLER):
        raise TraceFileError(f"{path}: the file is empty", hint=_AGAIN)
    return trace


def _parse(text: bytes, path: Path, number: int) -> _Line:
    from pydantic import ValidationError

    try:
        line = _adapter().validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise TraceFileError(f"{path}, line {number}: {f'{key}: ' if key else ''}{first['msg']}", hint=_AGAIN) from None
    if number == 1:
        if line.format != FORMAT or line.version is None:
            raise TraceFileError(f"{path}, line 1: this is no trace of edgelfm", hint=_AGAIN)
        if line.version > VERSION:
            raise TraceFileError(
                f"{path}, line 1: version {line.version} was written by a later edgelfm, this one reads {VERSION}",
                hint="pip install --upgrade edgelfm",
            )
    return line


@cache
def _adapter() -> TypeAdapter[_Line]:
    from pydantic import TypeAdapter

    return TypeAdapter(_Line)


def _header(about: About) -> str:
    return _line({"format": FORMAT, "version": VERSION, "about": _about(about)})


def _sample(sample: Sample) -> str:
    text = _line({"tokens": sample.tokens}) if sample.tokens else ""
    text += "".join(_line({"event": _known(event, _EVENT)}) for event in sample.events)
    reading = _known(sample.reading, _READING)
    if sample.reading.gpus:
        reading["gpus"] = [_known(gpu, _GPU) for gpu in sample.reading.gpus]
    return text + _line({"reading": reading})


def _known(fact: Reading | Event | GpuReading, names: tuple[str, ...]) -> dict[str, Any]:
    """The fields that say something. `dataclasses.asdict` would take ten times as long."""
    return {name: value for name in names if (value := getattr(fact, name)) is not None and value != ""}


def _about(about: About) -> dict[str, Any]:
    return {name: value for name, value in asdict(about).items() if value not in (None, "", ())}


def _line(data: dict[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")) + "\n"


def _unwritable(path: Path, error: OSError) -> TraceFileError:
    return TraceFileError(
        f"{path}: cannot be written: {error.strerror or error}", hint="name a file in a folder you may write to"
    )
