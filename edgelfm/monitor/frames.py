"""A trace as tables of pandas, which is imported here and nowhere else, when somebody asks for one."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal

from ..errors import RequestError, TraceFileError
from .events import Event
from .reading import GpuReading, Reading
from .speed import speed_at
from .trace import Trace

if TYPE_CHECKING:
    from pandas import DataFrame

_PLAIN = tuple(field.name for field in fields(Reading) if field.name not in ("busy", "megahertz", "throttled", "gpus"))
_GPU = tuple(field.name for field in fields(GpuReading))


def frame(trace: Trace, what: Literal["readings", "events", "tokens"]) -> DataFrame:
    """A row for each reading, event or token, in seconds since the recording began.

    Of a reading the cores are columns `busy_0`, `megahertz_0` and so on, GPUs `gpu_0_busy` and the like; besides there
    is `tokens_per_second`. Raises `TraceFileError` where pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise TraceFileError(
            "a trace becomes a table with pandas, which is not installed", hint="pip install pandas"
        ) from error
    if what == "events":
        names = [field.name for field in fields(Event)]
        return pandas.DataFrame([[getattr(event, name) for name in names] for event in trace.events], columns=names)
    if what == "tokens":
        return pandas.DataFrame({"at": trace.tokens})
    if what != "readings":
        raise RequestError(f"there is no table of {what!r}", hint='use "readings", "events" or "tokens"')
    tokens = trace.tokens
    firsts = [event.at for event in trace.events if event.kind == "first_token"]
    return pandas.DataFrame(
        [{**_row(one), "tokens_per_second": speed_at(one.at, tokens, firsts)} for one in trace.readings]
    )


def _row(reading: Reading) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(reading, name) for name in _PLAIN}
    row["throttled"] = None if reading.throttled is None else ", ".join(reading.throttled)
    for name in ("busy", "megahertz"):
        row |= {f"{name}_{place}": value for place, value in enumerate(getattr(reading, name) or ())}
    for place, gpu in enumerate(reading.gpus):
        row |= {f"gpu_{place}_{name}": getattr(gpu, name) for name in _GPU}
    return row
