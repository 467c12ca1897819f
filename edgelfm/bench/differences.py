"""What differs between two reports in everything recorded beside the figures, and whether that rules comparing out.

A difference breaks a comparison if it changes figures without anybody having worked for it: another processor, other
weights, a machine that was hot or busy. A version, a kernel or a setting may be the very reason of a change, and is
only named.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..hardware.host import Host
from ..units import format_rate
from .report import BenchReport, Conditions, Result, Subject

#: Facts of a host that change from minute to minute, or say nothing about speed.
_FLEETING = ("memory.available_bytes", "memory.pressure_some_avg10", "os.boot_id", "gpus.memory_available_bytes")
_SKIPPED = ("disk", "remarks", "bandwidth", "runtimes", "npus")
_MACHINE = ("cpu", "board", "gpus")  # parts of a host that make it another machine
_RATE = 0.1  # by which read bandwidth may differ, as a share
_HEAT = 10.0  # by which the temperature may differ, celsius
_LOAD = 0.1  # by which the load of other programs may differ, cores' worth for each core


@dataclass(frozen=True, slots=True)
class Difference:
    """Something recorded that is not the same."""

    what: str
    a: str
    b: str
    breaks: bool  # figures beside it may not be compared
    subject: str = ""  # whose, empty for the whole report


def between(a: BenchReport, b: BenchReport, pairs: Sequence[tuple[Result, Result]]) -> tuple[Difference, ...]:
    """All of them, those that break a comparison first. `pairs` are the subjects that are in both."""
    found = [*_hosts(a.host, b.host), *_runs(a, b)]
    for one, other in pairs:
        found += [*_subjects(one.subject, other.subject), *_conditions(one, other)]
    return tuple(sorted(found, key=lambda difference: not difference.breaks))


def _hosts(a: Host, b: Host) -> Iterator[Difference]:
    was, now = dict(_leaves(asdict(a))), dict(_leaves(asdict(b)))
    for path in (*was, *(path for path in now if path not in was)):
        if was.get(path) != now.get(path):
            yield Difference(
                path.replace(".", " ").replace("_", " "),
                was.get(path, "nothing"),
                now.get(path, "nothing"),
                path.split(".")[0] in _MACHINE,
            )
    runtimes = [{one.name: one.version for one in host.runtimes if one.installed} for host in (a, b)]
    for name in dict.fromkeys([*runtimes[0], *runtimes[1]]):
        old, new = (one.get(name, "not installed") for one in runtimes)
        if old != new:
            yield Difference(name, old, new, False)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every fact with its path: `cpu.model`. Lists of words are one fact, lists of objects are told apart by number."""
    if isinstance(value, dict):
        for name, part in value.items():
            if path or name not in _SKIPPED:
                yield from _leaves(part, f"{path}.{name}" if path else name)
    elif isinstance(value, (tuple, list)):
        if any(isinstance(part, dict) for part in value):
            for number, part in enumerate(value, 1):
                yield from _leaves(part, f"{path}.{number}")
        else:
            yield path, " ".join(map(str, value)) or "none"
    elif ".".join(part for part in path.split(".") if not part.isdigit()) not in _FLEETING:
        yield path, _said(value)


def _runs(a: BenchReport, b: BenchReport) -> Iterator[Difference]:
    yield from _differing("edgelfm", a.edgelfm, b.edgelfm)
    yield from _differing("command", a.command, b.command)
    yield from _differing("interleaved", a.interleaved, b.interleaved)
    yield from _differing("interrupted", a.interrupted, b.interrupted)
    was, now = a.bandwidth_bytes_per_second, b.bandwidth_bytes_per_second
    if was and now and abs(now / was - 1) > _RATE:
        yield Difference("measured read bandwidth", format_rate(was), format_rate(now), True)


def _subjects(a: Subject, b: Subject) -> Iterator[Difference]:
    for name in ("model", "quantization", "file_bytes", "sha256"):
        yield from _differing(name.replace("_", " "), getattr(a, name), getattr(b, name), a.name, breaks=True)
    for name in ("version", "threads", "energy_source", "note"):
        yield from _differing(name.replace("_", " "), getattr(a, name), getattr(b, name), a.name)
    was, now = dict(a.settings), dict(b.settings)
    for name in dict.fromkeys([*was, *now]):
        yield from _differing(name, was.get(name, "not said"), now.get(name, "not said"), a.name)


def _conditions(a: Result, b: Result) -> Iterator[Difference]:
    name = a.subject.name
    was, now = _states(a), _states(b)
    if not was or not now:
        return
    for what, bad in (("not ready", lambda one: not one.ready), ("throttled", lambda one: one.throttled is True)):
        counts = [sum(map(bad, states)) for states in (was, now)]
        if counts[0] / len(was) != counts[1] / len(now):
            texts = [f"{count} of {len(states)} times" for count, states in zip(counts, (was, now), strict=True)]
            yield Difference(what, texts[0], texts[1], True, name)
    heat = [[one.celsius for one in states if one.celsius is not None] for states in (was, now)]
    if all(heat):
        old, new = (statistics.median(one) for one in heat)
        if abs(old - new) > _HEAT:
            yield Difference("temperature at the start", f"{old:.0f} °C", f"{new:.0f} °C", False, name)
    load = [[one.load_per_core for one in states if one.load_per_core is not None] for states in (was, now)]
    if all(load):
        old, new = (statistics.median(one) for one in load)
        if abs(old - new) > _LOAD:
            yield Difference("load of other programs", f"{old:.0%}", f"{new:.0%}", True, name)


def _states(result: Result) -> list[Conditions]:
    return [again.conditions for series in result.series for again in series.repetitions]


def _differing(what: str, a: object, b: object, subject: str = "", *, breaks: bool = False) -> Iterator[Difference]:
    if a != b:
        yield Difference(what, _said(a), _said(b), breaks, subject)


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return "unknown" if value is None else str(value) or "not said"
