"""A recording: readings, what models did meanwhile, and what it is a recording of.

It can be looked at while it grows. What it says and shows is made elsewhere: `summary`, `plot`, `html`, `frames`; how
it lies in a file is told in `trace_file`.
"""

from __future__ import annotations

import bisect
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .events import Event
from .reading import HERTZ, Reading, Sample

if TYPE_CHECKING:
    from pandas import DataFrame

    from .plot import Plot
    from .summary import Summary


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the memory that a model takes: "weights", "KV cache"."""

    name: str
    bytes: int
    device: str = "host"  # "gpu": in the memory of a GPU of its own


@dataclass(frozen=True, slots=True)
class About:
    """What was recorded, and when. Empty where there is nothing to say."""

    started: str = ""  # ISO 8601 with the offset to UTC
    hertz: float = HERTZ
    edgelfm: str = ""  # version
    machine: str = ""  # "Raspberry Pi 5, 4 cores, 8 GiB of memory"
    pid: int | None = None
    model: str = ""
    quantization: str = ""
    backend: str = ""
    context: int | None = None  # tokens
    load_seconds: float | None = None
    predicted: tuple[Part, ...] = ()  # peak memory of the process, as it was planned
    held: tuple[Part, ...] = ()  # what the model holds, as its runtime reports it
    power_source: str = ""  # what `watts` are the watts of

    @property
    def predicted_bytes(self) -> int | None:
        """Planned peak of main memory of the whole process."""
        return sum(part.bytes for part in self.predicted if part.device == "host") or None

    @property
    def subject(self) -> str:
        """`SmolLM2-135M-Instruct Q4_1 on llama.cpp`, or nothing."""
        return " ".join(filter(None, (self.model, self.quantization, self.backend and f"on {self.backend}")))


class Trace:
    """Readings, events and the moments of tokens, oldest first, all in seconds since the recording began.

    With `keep`, only so many of the latest readings stay in memory, and `dropped` counts the others; a file has them
    all. `path` is where that is, None if there is none.
    """

    def __init__(
        self,
        about: About | None = None,
        samples: Iterable[Sample] = (),
        *,
        keep: int | None = None,
        path: Path | None = None,
    ) -> None:
        self.about = about or About()
        self.path = path
        self.dropped = 0
        self._keep = keep
        self._lock = threading.Lock()
        self._readings: deque[Reading] = deque()
        self._events: deque[Event] = deque()
        self._tokens: deque[float] = deque()
        for sample in samples:
            self.add(sample)

    @property
    def readings(self) -> tuple[Reading, ...]:
        """All that are in memory."""
        with self._lock:
            return tuple(self._readings)

    @property
    def events(self) -> tuple[Event, ...]:
        """What models did, and marks."""
        with self._lock:
            return tuple(self._events)

    @property
    def tokens(self) -> tuple[float, ...]:
        """Moments at which tokens were sampled."""
        with self._lock:
            return tuple(self._tokens)

    @property
    def seconds(self) -> float:
        """How long it is."""
        with self._lock:
            return self._readings[-1].at if self._readings else 0.0

    def samples(self) -> Iterator[Sample]:
        """Everything in the order in which it was added: each reading with what happened before it."""
        with self._lock:
            readings, events, tokens = tuple(self._readings), tuple(self._events), tuple(self._tokens)
        event = token = 0
        for place, reading in enumerate(readings, start=1):
            event_end, token_end = len(events), len(tokens)
            if place < len(readings):
                event_end = bisect.bisect_right(events, reading.at, event, key=lambda one: one.at)
                token_end = bisect.bisect_right(tokens, reading.at, token)
            yield Sample(reading, events[event:event_end], tokens[token:token_end])
            event, token = event_end, token_end

    def add(self, sample: Sample) -> None:
        """One more sample."""
        with self._lock:
            self._readings.append(sample.reading)
            self._events += sample.events
            self._tokens += sample.tokens
            if self._keep is not None and len(self._readings) > self._keep:
                self._drop()

    def summary(self) -> Summary:
        """Peaks, means, speeds and energy. It prints as a few lines."""
        from .summary import summarise

        return summarise(self)

    def plot(self) -> Plot:
        """Memory, tokens per second, cores, heat and power over time, for a notebook or a page of its own."""
        from .plot import plot

        return plot(self)

    def to_pandas(self, what: Literal["readings", "events", "tokens"] = "readings") -> DataFrame:
        """A table with a row for each reading, event or token. Raises `TraceFileError` where pandas is missing."""
        from .frames import frame

        return frame(self, what)

    def to_jsonl(self, path: str | Path) -> Path:
        """Write everything in memory as JSON lines. Raises `TraceFileError`, `NoDiskSpace`."""
        from .trace_file import write

        return write(self, Path(path))

    @staticmethod
    def read(path: str | Path) -> Trace:
        """The trace in a file. A last line that a crash cut short is left out.

        Raises `TraceFileError` naming file and line.
        """
        from .trace_file import read

        return read(Path(path))

    def _drop(self) -> None:
        self._readings.popleft()
        self.dropped += 1
        first = self._readings[0].at
        for waiting in (self._tokens, self._events):
            while waiting and (waiting[0] if isinstance(waiting[0], float) else waiting[0].at) < first:
                waiting.popleft()

    def __len__(self) -> int:
        return len(self._readings)

    def __repr__(self) -> str:
        subject = f" of {self.about.subject}" if self.about.subject else ""
        return f"<Trace{subject}, {self.seconds:.1f} s, {len(self)} readings, {len(self._tokens)} tokens>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .html import trace_bundle

        return trace_bundle(self)
