"""A trace that grows while a model works, and the file it is written to. What is sampled is told in `monitor/`."""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from .backends.base import Memory
from .errors import TraceFileError
from .monitor.events import Event
from .monitor.reading import HERTZ, Sample
from .monitor.recorder import Recorder
from .monitor.sampler import Sampler
from .monitor.trace import About, Part, Trace
from .monitor.trace_file import TraceWriter
from .paths import cache_folder

if TYPE_CHECKING:
    from .hardware.host import Host
    from .model import Model

#: Traces that stay in the cache folder, the latest.
KEPT_FILES = 20
#: Readings that stay in memory: two hours at four a second. The file has all of them.
KEPT_READINGS = 28_800


class Recording(Trace):
    """A trace that grows from `start` to `stop`. It is the context manager that `edgelfm.record` gives.

    `path` is the file that is written meanwhile, `problem` says why it is not, if it is not.
    """

    def __init__(self, about: About, path: Path | None, *, hertz: float = HERTZ) -> None:
        self._sampler = Sampler()
        self._recorder = Recorder(hertz=hertz, sampler=self._sampler)
        super().__init__(replace(about, hertz=self._recorder.hertz), keep=KEPT_READINGS)
        self._problem = ""
        self._writer: TraceWriter | None = None
        try:
            self.path = _new_file(self.about) if path is None else path
            self._writer = TraceWriter(self.path, self.about)
        except TraceFileError as error:
            if path is not None:
                raise
            self.path, self._problem = None, error.message  # a cache is not worth an experiment
        self._recorder.on_sample(self._take)

    @property
    def problem(self) -> str:
        """Why the file is not written, or not any more. Empty if all is well."""
        return self._problem or (self._writer.problem if self._writer is not None else "")

    def watch(self, lfm: Model) -> None:
        """Record what this model does from now on, and what was predicted for it."""
        self._learn(about_model(lfm, self.about))
        self._recorder.listen(lfm._session.events)
        self._recorder.tell(Event(time.perf_counter(), "load", seconds=lfm.load_seconds, note=self.about.subject))

    def mark(self, note: str = "") -> Event:
        """Remark something at this moment; it is named in the plot."""
        return self._recorder.mark(note)

    def start(self) -> Recording:
        """Begin, where `with` does not suit: across the cells of a notebook. Then `stop` is yours to call."""
        self._recorder.start()
        return self

    def stop(self) -> None:
        """End the recording. Calling it twice is fine."""
        self._recorder.stop()
        if self._writer is not None:
            self._writer.close()

    def _take(self, sample: Sample) -> None:
        self.add(sample)
        if self._writer is not None:
            self._writer.add(sample)
        if (source := self._sampler.power_source) != self.about.power_source:
            self._learn(replace(self.about, power_source=source))

    def _learn(self, about: About) -> None:
        self.about = about
        if self._writer is not None:
            self._writer.about(about)

    def __enter__(self) -> Recording:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.mark(f"{type(error).__name__}: {error}"[:200])
        self.stop()


def about_machine(host: Host | None) -> About:
    """What is known before there is a model. Without a host, this machine is looked at."""
    from . import __version__, hardware
    from .bench.remarks import machine

    if host is None:
        host = hardware.inspect(bandwidth=False)
    return About(
        started=datetime.now().astimezone().isoformat(timespec="seconds"),
        edgelfm=__version__,
        machine=machine(host),
        pid=os.getpid(),
    )


def about_model(lfm: Model, about: About) -> About:
    """`about` with what is known of the model: what it is, what was predicted, what it holds."""
    candidate = lfm.candidate
    held = lfm.memory() if candidate.memory.parts else Memory(0, 0, 0, 0, 0)  # what a server holds is not told
    return replace(
        about,
        model=lfm.entry.name,
        quantization=candidate.quantization,
        backend=candidate.backend,
        context=lfm.context,
        load_seconds=lfm.load_seconds,
        predicted=tuple(Part(part.name, part.bytes, part.device) for part in candidate.memory.parts),
        held=tuple(
            Part(name, size)
            for name, size in (
                ("weights", held.weights),
                ("KV cache", held.kv),
                ("convolution state", held.conv),
                ("compute buffers", held.compute),
                ("output", held.output),
            )
            if size
        ),
    )


def _new_file(about: About) -> Path:
    """A name in the cache folder that nobody has, and room there for what it will hold."""
    folder = cache_folder() / "traces"
    _tidy(folder)
    stamp = re.sub(r"\D", "", about.started[:19])
    return folder / f"{stamp[:8]}-{stamp[8:]}-{os.getpid()}-{time.monotonic_ns() % 1_000_000:06}.jsonl"


def _tidy(folder: Path) -> None:
    """Remove the oldest, so that with the next there are no more than `KEPT_FILES`."""
    with contextlib.suppress(OSError):
        files = sorted(folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
        for path in files[: max(0, len(files) - KEPT_FILES + 1)]:
            path.unlink()
