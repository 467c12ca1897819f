"""What must be said beside the figures: the machine, the method, the conditions, what failed, what is not comparable.

Plain sentences, without markup, so that the table, the Markdown and the card say the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..hardware.host import Host
from ..units import format_bytes, format_rate, format_seconds
from .figures import keys, write
from .report import BenchReport, Conditions, Result, Subject
from .statistics import sustained

METHOD = (
    "Median ± sample standard deviation; a repetition starts from a fresh state, and times are stored, not rates.",
    "First token: from the call to the first token. Cold: nothing of the prompt is in memory. Warm: the conversation "
    "is, the question is new. After edit: another last question takes the place of one that was answered.",
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A subject that did not run, or not to the end."""

    name: str
    reason: str
    fix: str  # what to type, empty where nothing is known


def failures(report: BenchReport) -> list[Failure]:
    """In the order of the report."""
    found = []
    for result in report.results:
        if result.failure:
            reason, _, fix = result.failure.partition("\n  hint: ")
            found.append(Failure(result.subject.name, " ".join(reason.split()), " ".join(fix.split())))
    return found


def machine(host: Host) -> str:
    """`AMD EPYC, 2 cores, 23.5 GiB of memory`."""
    cpu = host.cpu
    cores = cpu.physical_cores or cpu.logical_cores
    graphics = [gpu.name for gpu in host.gpus if gpu.usable]
    memory = f"{format_bytes(host.memory.total_bytes)} of memory" if host.memory.total_bytes else ""
    name = host.board.name or host.board.soc
    parts = (name, cpu.model or cpu.vendor, f"{cores} core{'' if cores == 1 else 's'}", memory, *graphics)
    return ", ".join(dict.fromkeys(filter(None, parts)))


def system(host: Host) -> str:
    """`Debian GNU/Linux 12 (bookworm), kernel 6.1.0, in a docker container, Python 3.11.7`."""
    os = host.os
    release = f"{'kernel ' if os.system == 'linux' else ''}{os.release}" if os.release else ""
    container = f"in a {os.container} container" if os.container else ""
    wsl = f"WSL {os.wsl}" if os.wsl else ""
    name = os.distribution or os.system
    return ", ".join(filter(None, (name, release, container, wsl, f"Python {os.python}" if os.python else "")))


def title(subject: Subject) -> str:
    """Name and version."""
    return f"{subject.name} {subject.version}".strip()


def weights(report: BenchReport) -> str:
    """`SmolLM2-135M-Instruct Q4_1`: what the first subject ran, that all the others should have run."""
    subject = reference(report)
    return f"{subject.model} {subject.quantization}".strip() if subject else "nothing"


def reference(report: BenchReport) -> Subject | None:
    """The first subject that got as far as saying what it ran."""
    return next((result.subject for result in report.results if result.subject.model), None)


def settings(subject: Subject) -> str:
    """`threads 2, flash attention on`."""
    named = {name for name, _ in subject.settings}
    threads = [f"threads {subject.threads}"] if subject.threads is not None and "threads" not in named else []
    return ", ".join([*threads, *(f"{name} {value}" for name, value in subject.settings)])


def opened(subject: Subject) -> str:
    """`edgelfm 0.1.0, Q4_1: threads 2, flash attention on`."""
    name = ", ".join(filter(None, (title(subject), subject.quantization)))
    return ": ".join(filter(None, (name, settings(subject))))


def date(report: BenchReport) -> str:
    """`2026-11-24 09:30 UTC`."""
    return f"{report.started_at[:16].replace('T', ' ')} UTC"


def shares(report: BenchReport) -> Iterator[tuple[Result, str]]:
    """How near each subject comes to what reading memory allows: `81 % of what memory bandwidth allows`."""
    for result in report.results:
        share = result.bandwidth_share
        if share is None:
            continue
        text = f"{share * 100:.0f} % of what memory bandwidth allows"
        yield result, f"{text}, so part of the weights stays in the processor's cache" if share > 1 else text


def bandwidth(report: BenchReport) -> str:
    """What the shares are of."""
    rate = report.bandwidth_bytes_per_second
    return f"{format_rate(rate)} read bandwidth of main memory, measured in the same run" if rate else ""


def counted(report: BenchReport) -> str:
    """How often things were repeated, and in which order: `5 repetitions, runtimes taking turns, 3 min 20 s in all`."""
    counts = sorted({len(one.repetitions) for result in report.results for one in result.series if one.repetitions})
    number = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}" if counts else "no"
    turns = "runtimes taking turns" if report.interleaved else "one runtime after the other"
    order = [turns] if len(report.results) > 1 else []
    times = f"{number} repetition{'' if counts == [1] else 's'}"
    return ", ".join([times, *order, f"{format_seconds(report.seconds)} in all"])


def sustained_lines(report: BenchReport) -> Iterator[tuple[Result, str]]:
    """A sustained run in a line: how fast at first and at the end, how hot, and whether it was throttled."""
    for result in report.results:
        run = sustained([one for one in result.sustained if one.seconds > 0])
        if run is None:
            continue
        speeds = f"{write(run.first, 'tokens/s')} tokens/s at first, {write(run.last, 'tokens/s')} at the end"
        parts = [f"{format_seconds(run.seconds).removesuffix(' 0 s')} at a stretch: {speeds}"]
        parts += [f"hottest {run.hottest:.0f} °C"] if run.hottest is not None else []
        throttled = [one.at_seconds for one in result.sustained if one.throttled]
        parts += [f"throttled from {format_seconds(min(throttled))} on"] if throttled else []
        yield result, ", ".join(parts)


def conditions(report: BenchReport) -> list[str]:
    """What the machine was like, as far as a reader must know. Empty if it was quiet, cool and ready at once."""
    states = _gates(report)
    number = len(states)
    lines = []
    waited = sum(state.waited_seconds for state in states)
    if waited >= 0.5:
        lines.append(f"waited {format_seconds(waited)} in all for a quiet and cool machine" + _reasons(states, True))
    unready = [state for state in states if not state.ready]
    if unready:
        lines.append(f"{len(unready)} of {number} repetitions ran on a machine that was not ready" + _reasons(unready))
    throttled = sum(state.throttled is True for state in states)
    if throttled:
        lines.append(f"the processor was throttled before {throttled} of {number} repetitions")
    return lines


def _gates(report: BenchReport) -> list[Conditions]:
    """The conditions of each repetition of each subject. All that one repetition timed shares one look at them."""
    seen: dict[tuple[int, int, Conditions], None] = {}
    for number, result in enumerate(report.results):
        for series in result.series:
            for turn, again in enumerate(series.repetitions):
                seen[number, turn, again.conditions] = None
    return [state for _, _, state in seen]


def _reasons(states: list[Conditions], ready: bool = False) -> str:
    found = list(dict.fromkeys(state.reason for state in states if state.reason and state.ready is ready))
    return f": {'; '.join(found[:3])}{' …' if len(found) > 3 else ''}" if found else ""


def not_comparable(report: BenchReport) -> list[tuple[str, str]]:
    """Name of a subject and why its figures stand beside the others with care."""
    return [(result.subject.name, result.subject.note) for result in report.results if result.subject.note]


def leftovers(report: BenchReport) -> list[str]:
    """What the report itself wants said."""
    stopped = ["interrupted: what is here was measured, the rest was not"] if report.interrupted else []
    return [*stopped, *report.notes]


def licenses(report: BenchReport) -> list[str]:
    """Licences of the weights, each once."""
    return list(dict.fromkeys(one.subject.license for one in report.results if one.subject.license))


def measured_anything(report: BenchReport) -> bool:
    """Whether there is a figure at all."""
    return bool(keys(report))
