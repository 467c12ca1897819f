"""Settings that runs on this host found best, and what they gained over the others that were tried.

A record of the network and quantization itself is taken whole. One of another network tells how many threads and
whether flash attention. What somebody asked for and what the profile forbids come before any measurement.
"""

from __future__ import annotations

from typing import TypeVar

from ..decision import Decision
from .calibration import Evidence, Subject, while_taken
from .plan import Request
from .records import Phase, Record

Value = TypeVar("Value")

PHASES: tuple[Phase, ...] = ("decode", "prefill")
SHOWN = 3  # values of one setting that are told of
#: Times more or fewer bytes for a token, beyond which another network teaches nothing: what is small enough for the
#: caches of a processor waits for other things than memory, and wants fewer threads.
ALIKE = 16


def threads(
    evidence: Evidence, subject: Subject, usual: Decision[int], bound: Decision[int] | None, request: Request,
    *, prefill: bool,
) -> Decision[int]:  # fmt: skip
    """How many threads: the best of those tried, else as `usual`; never beyond `bound`."""
    phase: Phase = "prefill" if prefill else "decode"
    setting = "threads_prefill" if prefill else "threads"
    record = _teacher(evidence, subject, phase, setting)
    if record is None or request.threads is not None:
        return usual
    count = record.threads_prefill if prefill else record.threads
    if bound is not None and count > bound.value:
        return bound
    first = "with {} thread" if count == 1 else "with {} threads"
    figures = _figures(_tried(record, phase, setting), str(count), first, "with {}")
    return _decision(evidence, subject, record, count, figures)


def flash_attention(evidence: Evidence, subject: Subject) -> Decision[bool] | None:
    """Whether flash attention was faster, None where nobody tried."""
    record = _teacher(evidence, subject, "decode", "flash_attention") or _teacher(
        evidence, subject, "prefill", "flash_attention"
    )
    if record is None:
        return None
    words = {"on": "with it", "off": "without it"}
    chosen = words["on" if record.flash_attention else "off"]
    told = []
    for phase in PHASES:
        tried = {words[value]: one for value, one in _tried(record, phase, "flash_attention").items() if value in words}
        if figures := _figures(tried, chosen, "{}", "{}"):
            told.append(f"{phase} {figures}")
    return _decision(evidence, subject, record, record.flash_attention, "; ".join(told)) if told else None


def micro_batch(evidence: Evidence, subject: Subject) -> Decision[int] | None:
    """The micro-batch that read prompts fastest, None unless this very network and quantization was measured."""
    record = _teacher(evidence, subject, "prefill", "micro_batch")
    if record is None or record is not evidence.same(subject):
        return None
    tried = _tried(record, "prefill", "micro_batch")
    figures = _figures(tried, str(record.micro_batch), "of prompt at {}", "at {}")
    return _decision(evidence, subject, record, record.micro_batch, figures) if figures else None


def _teacher(evidence: Evidence, subject: Subject, phase: Phase, setting: str) -> Record | None:
    """The record whose choice among several values of a setting is to be followed: of the subject, else the nearest.

    A run that tried nothing else says how fast that was, but not that it was best.
    """
    tuned = evidence.only(lambda one: len(_tried(one, phase, setting)) > 1)
    near = tuned.only(lambda one: 1 / ALIKE <= one.bytes_per_token / max(1, subject.bytes_per_token) <= ALIKE)
    return tuned.same(subject) or near.nearest(subject)


def _tried(record: Record, phase: Phase, setting: str) -> dict[str, float]:
    """Seconds per token by value, of the values of one setting that were tried."""
    values = (one.value for one in record.tried if (one.phase, one.setting) == (phase, setting))
    return {value: taken for value in values if (taken := record.seconds_with(phase, setting, value)) is not None}


def _figures(tried: dict[str, float], chosen: str, first: str, other: str) -> str:
    """`91.4 tokens/s with 2 threads, 68.0 with 1`: what was chosen, then the others from the fastest on."""
    if chosen not in tried:
        return ""
    rest = sorted((value for value in tried if value != chosen), key=lambda value: tried[value])
    told = [f"{_rate(tried[chosen])} tokens/s {first.format(chosen)}"]
    told += [f"{_rate(tried[value])} {other.format(value)}" for value in rest[: SHOWN - 1]]
    return ", ".join(told)


def _rate(seconds: float) -> str:
    return f"{1 / seconds:.1f}" if seconds > 0.01 else f"{1 / seconds:.0f}"


def _decision(evidence: Evidence, subject: Subject, record: Record, value: Value, figures: str) -> Decision[Value]:
    """The value with the figures behind it, whose they are, and how well they hold now."""
    whose, grade = "", evidence.grade(record)
    if record is not evidence.same(subject):
        network = record.model.rpartition("-")[0] or record.model
        whose, grade = f" for {network} in {record.quantization}", "calibrated"
    return Decision(value, f"best{whose} here: {figures}{while_taken(record)}", grade)
