"""What about this machine deserves a word: what stands in the way of a model, and what slows one down.

Pure: a `Host` and its profile in, findings out. Thresholds without a source are this module's own and say so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ..hardware.host import Host
from ..hardware.profiles import Profile
from ..planning.plan import Plan
from ..planning.show import speed_text
from ..units import GIB, format_bytes

Level = Literal["problem", "warning", "note"]

#: Our own judgement, not from a source. Percent of time in which some process waited for memory; bytes that the usual
#: first model (0.7 GiB) and a second one need; share of the bandwidth that the profile expects.
PRESSURE, ROOM, SLOW_MEMORY = 10.0, 2 * GIB, 0.5

#: How to see whether a board has slowed itself down, from the makers' own tools.
_THROTTLING = {
    "raspberry-pi": "vcgencmd get_throttled",
    "jetson": "sudo tegrastats",
    "rk3588": "cat /sys/class/thermal/thermal_zone*/temp",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One remark: how serious, what it is, and what to type."""

    level: Level
    text: str
    fix: str = ""


def findings(host: Host, profile: Profile, made: Plan | None = None) -> tuple[Finding, ...]:
    """Everything worth saying about `host`, problems first. `made` is a plan for it, for what is not installed."""
    found = [*_runtimes(host, profile), *_memory(host), *_disk(host), *_speed(host, profile)]
    found += _to_gain(made) if made is not None else ()
    return tuple(sorted(found, key=lambda one: ("problem", "warning", "note").index(one.level)))


def _runtimes(host: Host, profile: Profile) -> Iterator[Finding]:
    known = [runtime for name in profile.backends if (runtime := host.runtime(name)) is not None]
    if known and not any(runtime.installed and not runtime.reason for runtime in known):
        first = next((runtime for runtime in known if runtime.install and not runtime.installed), known[0])
        yield Finding("problem", "no runtime that could run a model is installed", first.install)
    for runtime in host.runtimes:
        if runtime.installed and runtime.reason:
            if runtime.name in profile.backends[:1]:
                text = f"{runtime.package} {runtime.version} cannot be used: {runtime.reason}"
                yield Finding("problem", text, runtime.advice)
        elif runtime.advice:
            text, _, command = runtime.advice.partition(": ")
            yield Finding("warning", f"{runtime.package} is not built for this processor: {text}", command)


def _to_gain(made: Plan) -> Iterator[Finding]:
    """What each runtime that is missing would run here, beside what runs now."""
    now, beside = made.chosen, ""
    if now is not None:
        beside = f"; now: {now.model.id} {now.quantization} on {now.backend}, {speed_text(now.decode)}"
    for one in made.rejected:
        if one.cause == "backend":
            yield Finding("note", f"{one.model} {one.quantization} on {one.backend}: {one.reason}{beside}", one.fix)


def _memory(host: Host) -> Iterator[Finding]:
    memory, cpu = host.memory, host.cpu
    if memory.limit_bytes is not None:
        yield Finding(
            "warning",
            f"this process may use {format_bytes(memory.limit_bytes)} of {format_bytes(memory.total_bytes)} "
            f"({memory.limit_source or 'a limit of its container'})",
            "raise the limit of the container or service if that is not meant",
        )
    if memory.pressure_some_avg10 is not None and memory.pressure_some_avg10 > PRESSURE:
        yield Finding(
            "warning",
            f"memory is tight: programs waited for it {memory.pressure_some_avg10:.0f} % of the last ten seconds",
            "close programs before loading a model",
        )
    if cpu.quota is not None and cpu.quota < (cpu.physical_cores or cpu.logical_cores):
        yield Finding("note", f"this process is granted the time of {cpu.quota:g} of {cpu.logical_cores} processors")
    if memory.zram_bytes:
        yield Finding(
            "note", f"{format_bytes(memory.zram_bytes)} of swap is compressed memory: it adds no room for a model"
        )
    if host.os.wsl == 2:
        yield Finding(
            "note", "WSL gives Linux a part of the machine's memory", "raise memory= in %UserProfile%\\.wslconfig"
        )


def _disk(host: Host) -> Iterator[Finding]:
    if host.disk.free_bytes is not None and host.disk.free_bytes < ROOM:
        yield Finding(
            "warning",
            f"{format_bytes(host.disk.free_bytes)} are free where models are kept ({host.disk.path})",
            "make room, or set HF_HOME to a folder on a larger disk",
        )


def _speed(host: Host, profile: Profile) -> Iterator[Finding]:
    measured, expected = host.bandwidth.bytes_per_second, profile.bandwidth_bytes_per_second
    if measured and expected and measured < SLOW_MEMORY * expected:
        yield Finding(
            "warning",
            f"memory is read at {measured / 1e9:.1f} GB/s, {profile.name} is known for {expected / 1e9:.0f}",
            "close busy programs, and see that the machine is neither hot nor saving power",
        )
    if command := _THROTTLING.get(host.board.family):
        yield Finding(
            "note", "this board slows down when it is hot or its supply is weak; to see whether it has", command
        )
