"""What a benchmark teaches the planner: a `Record` of how fast this model ran here, if the machine was quiet."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from ..errors import RequestError
from ..hardware.host import Host
from ..planning.records import Record, Timing
from .report import Result, Series
from .statistics import find

if TYPE_CHECKING:
    from ..planning.plan import Candidate

_FEWEST = 3  # repetitions


def keep(result: Result, candidate: Candidate, host: Host) -> str | None:
    """Keep the decode and prefill times of `result` for later plans. Returns why that was not done, or None.

    A record that `edgelfm tune` made stays, for it also knows what else was tried.
    """
    from ..planning import record_store

    record = record_of(result, candidate, host)
    if isinstance(record, str):
        return record
    if any(one.key == record.key and one.tried for one in record_store.read()):
        return "this model was tuned here, which tells more"
    return record_store.keep(record)


def record_of(result: Result, candidate: Candidate, host: Host) -> Record | str:
    """The record, or why these figures make none."""
    from ..planning.recording import make_record

    decode, prefill = find(result, "decode"), find(result, "prefill")
    if decode is None or prefill is None or min(len(decode.repetitions), len(prefill.repetitions)) < _FEWEST:
        return f"fewer than {_FEWEST} repetitions were measured"
    if not all(one.conditions.ready for one in (*decode.repetitions, *prefill.repetitions)):
        return "the machine was not quiet"
    try:
        return make_record(
            host, candidate, decode=_timing(decode), prefill=_timing(prefill), prompt=prefill.tokens, depth=decode.depth
        )
    except RequestError as error:
        return error.message


def _timing(series: Series) -> Timing:
    each = [one.seconds / series.tokens for one in series.repetitions]
    low, median, high = statistics.quantiles(each, n=4, method="inclusive")
    return Timing(median, low, high, len(each))
