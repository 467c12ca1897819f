"""`record()`: a trace of a model at work, written as it goes. What is sampled, kept and shown is told in `monitor/`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .monitor.reading import HERTZ

if TYPE_CHECKING:
    from .live_trace import Recording
    from .model import Model


def record(lfm: Model | None = None, path: str | Path | None = None, *, hertz: float = HERTZ) -> Recording:
    """Record what this process and machine go through, and what `lfm` does meanwhile.

        with edgelfm.record(lfm) as trace:
            lfm.chat("Why is the sky blue?")
        trace              # memory, speed, heat and power over time
        print(trace.summary())

    It is written as it goes, to `path` or to a file in the cache folder that `trace.path` names (the latest 20 stay
    there), so that even a crash leaves a trace: `Trace.read(path)`. A model that is loaded meanwhile is heard after
    `trace.watch(lfm)`. Of a model behind a server it has the times; memory and heat are this machine's. `hertz`
    samples a second cost well below 1 % of a core at the usual 4.

    Raises `RequestError` for a `hertz` that makes no sense, `TraceFileError` for a `path` that cannot be written.
    """
    from .live_trace import Recording, about_machine

    here = lfm is not None and lfm.candidate.memory.parts  # a server's machine is not this one
    machine = about_machine(lfm.host if lfm is not None and here else None)
    trace = Recording(machine, Path(path) if path else None, hertz=hertz)
    if lfm is not None:
        trace.watch(lfm)
    return trace
