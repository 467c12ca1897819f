"""Reads everything there is to know about one machine. The order is that of need: limits first, what uses them later.

No probe raises. One that fails, and every file or command that refused, becomes a `Remark`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .bandwidth import read_bandwidth
from .board import read_board
from .cgroups import Limits, read_limits
from .cpu import read_cpu
from .disk import read_disk
from .gpu import read_gpus
from .host import Bandwidth, Board, Cpu, Disk, Gpu, Host, Memory, Npu, OperatingSystem, Remark, Runtime
from .machine import Machine
from .memory import read_memory
from .npu import read_npus
from .runtimes import read_runtimes
from .system import read_system

T = TypeVar("T")


def inspect_machine(machine: Machine, *, bandwidth: bool = True) -> Host:
    """All facts about `machine`. With `bandwidth`, main memory is measured once per boot."""
    remarks: list[Remark] = []

    def guarded(probe: str, read: Callable[[], T], default: T) -> T:
        known = set(machine.refusals)
        try:
            answer = read()
        except Exception as error:  # noqa: BLE001 - a probe that breaks must not take the others with it
            remarks.append(Remark(probe, f"{type(error).__name__}: {error}"))
            answer = default
        refused = [name for name in machine.refusals if name not in known]
        remarks.extend(Remark(probe, f"{name}: {machine.refusals[name]}") for name in refused)
        return answer

    system = guarded("os", lambda: read_system(machine), OperatingSystem())
    limits = guarded("cgroups", lambda: read_limits(machine), Limits())
    cpu = guarded("cpu", lambda: read_cpu(machine, limits), Cpu())
    memory = guarded("memory", lambda: read_memory(machine, limits), Memory())
    board = guarded("board", lambda: read_board(machine), Board())
    gpus: tuple[Gpu, ...] = guarded("gpu", lambda: read_gpus(machine, cpu, memory, board), ())
    npus: tuple[Npu, ...] = guarded("npu", lambda: read_npus(machine, cpu, board), ())
    runtimes: tuple[Runtime, ...] = guarded("runtimes", lambda: read_runtimes(machine, cpu, gpus), ())
    disk = guarded("disk", lambda: read_disk(machine), Disk())
    speed = Bandwidth(reason="not asked for")
    if bandwidth:
        speed = guarded("bandwidth", lambda: read_bandwidth(machine, system, cpu, memory), Bandwidth())
    return Host(system, cpu, memory, board, gpus, npus, runtimes, disk, speed, tuple(remarks))
