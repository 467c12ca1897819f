"""What a benchmark says. Pure data: every single time that was measured, and what was true while it was.

Times are stored, rates are derived. Two figures may be compared only if everything recorded beside them is the same;
`compare` knows how.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ..hardware.host import Host

#: What was timed. "first_token" is from the call to the first token; "sustained" is decode for minutes, in slices.
Kind = Literal[
    "load", "prefill", "decode", "first_token_cold", "first_token_warm", "first_token_after_edit", "sustained"
]


@dataclass(frozen=True, slots=True)
class Conditions:
    """The machine just before a repetition. None where it could not be read."""

    waited_seconds: float  # at the gate, until the machine was ready
    ready: bool  # False if patience ran out and it ran all the same
    celsius: float | None  # the hottest sensor
    load_per_core: float | None  # of other programs, 0 to 1
    throttled: bool | None
    reason: str = ""  # what it waited for


@dataclass(frozen=True, slots=True)
class Repetition:
    """One measurement with fresh state."""

    seconds: float
    conditions: Conditions
    energy_joules: float | None = None  # of the whole machine or package, see `Subject.energy_source`


@dataclass(frozen=True, slots=True)
class Series:
    """Repetitions of the same thing."""

    kind: Kind
    #: In each repetition: written tokens of a decode, 0 for a load, and of a prefill or a first token the prompt tokens
    #: that a state with the right beginning leaves to evaluate.
    tokens: int
    depth: int  # tokens of context before the first of them
    repetitions: tuple[Repetition, ...]


@dataclass(frozen=True, slots=True)
class Slice:
    """Some seconds of a sustained run."""

    at_seconds: float  # from the beginning
    seconds: float
    tokens: int
    celsius: float | None
    megahertz: float | None  # mean clock of all cores
    throttled: bool | None
    energy_joules: float | None = None  # see `Subject.energy_source`


@dataclass(frozen=True, slots=True)
class Subject:
    """What ran: a runtime with a model, in which format, opened how."""

    name: str  # "edgelfm", "llama.cpp bare loop", "llama-cpp-python", "transformers", …
    version: str
    model: str
    quantization: str  # in the runtime's own words
    file_bytes: int | None
    sha256: str  # of the weights file, empty if it is a folder
    settings: tuple[tuple[str, str], ...]  # threads, flash attention, micro-batch, …
    threads: int | None
    energy_source: str = ""  # "RAPL package", "battery", empty where there is no counter
    note: str = ""  # what is not comparable, such as "weights dequantized to bf16"
    license: str = ""  # of the weights, where known: "Apache License 2.0, https://…"


@dataclass(frozen=True, slots=True)
class Result:
    """Everything measured of one subject."""

    subject: Subject
    series: tuple[Series, ...]
    sustained: tuple[Slice, ...] = ()
    peak_memory_bytes: int | None = None  # of the process, polled
    bytes_per_token: int | None = None  # read for one token at `speed.DEPTH`
    bandwidth_share: float | None = None  # bytes per token x decode speed, as a share of read bandwidth
    failure: str = ""  # why it could not run, or not to the end; empty if it did


@dataclass(frozen=True, slots=True)
class BenchReport:
    """One run of `edgelfm bench`."""

    edgelfm: str  # version
    started_at: str  # ISO 8601, UTC
    command: str  # what to type to do it again
    seconds: float  # in all
    host: Host
    bandwidth_bytes_per_second: float | None  # read bandwidth of main memory, measured in the same run
    interleaved: bool  # subjects took turns, so a slow minute hit them all
    results: tuple[Result, ...]
    interrupted: bool = False  # by Ctrl-C: what is here was measured, the rest was not
    notes: tuple[str, ...] = ()  # what did not run and why, what to mind when reading it

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        from .files import report_dict

        return report_dict(self)

    def __rich__(self) -> Any:
        """A table for terminals."""
        from .show import report_table

        return report_table(self)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .html import report_bundle

        return report_bundle(self)
