"""How fast can all usable cores together read main memory? Measured, because no table knows the modules fitted.

Decoding reads every weight once a token, so this figure bounds its speed. What is measured is reading alone: the bytes
counted are those read, nothing is written. The buffer is several times the last-level cache, as far as memory allows.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import Any

from .cpu_topology import parse_cpu_list
from .host import Bandwidth, Cpu, Memory, OperatingSystem
from .machine import Machine
from .memo import keep, recall

MIB = 1024**2

_MEMORY_SHARE = 0.03  # of what is available: a probe must not push a small board into swap
_SMALLEST, _LARGEST = 1 * MIB, 256 * MIB  # touching more would take longer than the probe itself
_CACHE_MULTIPLE = 4
_SECONDS = 0.1
_FEWEST_PASSES = 3
#: Other programs take bandwidth as well, so what is measured beside them is only the least there is. It is measured
#: again at the next start, so many times at the most, and the best of them is believed.
_TRIES = 5
_BUSY = 0.5  # runnable processes for each usable core, by the load average of the last minute


def read_bandwidth(machine: Machine, system: OperatingSystem, cpu: Cpu, memory: Memory) -> Bandwidth:
    """Measure, or recall what was measured since the machine was started. A recorded machine cannot be measured."""
    if not machine.live:
        return Bandwidth(reason="a recorded machine cannot be measured")
    key = [system.boot_id, cpu.model, str(cpu.usable_cores)]
    known, tries = _kept(recall("bandwidth", key)) if system.boot_id else (0.0, 0)
    if known and tries >= _TRIES:
        return Bandwidth(known, "measured", f"read by {cpu.usable_cores} threads, measured since boot")
    cache = last_level_cache(machine)
    size = buffer_bytes(memory.available_bytes, cache)
    if size < _SMALLEST:
        return Bandwidth(reason="too little memory is free to measure it")
    busy = _load(machine) > _BUSY * cpu.usable_cores
    speed = max(known, measure(size, cpu.usable_cores))
    if system.boot_id and (refusal := keep("bandwidth", key, [speed, tries + 1 if busy else _TRIES])):
        machine.refusals["cache of bandwidth"] = refusal
    reason = f"read by {cpu.usable_cores} threads from {size // MIB} MiB"
    if busy:
        reason += ", while other programs were at work"
    if cache is not None and size < 2 * cache:
        reason += f", of which the cache may hold {cache // MIB} MiB"
    return Bandwidth(speed, "measured", reason)


def _kept(value: Any) -> tuple[float, int]:
    """Bytes per second, and how often it was measured beside others; enough for a figure of a quiet machine."""
    if isinstance(value, list) and len(value) == 2 and all(isinstance(one, (int, float)) for one in value):
        return max(0.0, float(value[0])), int(value[1])
    return 0.0, 0


def _load(machine: Machine) -> float:
    """Processes that ran or wanted to in the last minute, 0 where Linux does not tell."""
    words = (machine.read("/proc/loadavg") or "").split()
    return float(words[0]) if words and re.fullmatch(r"\d{1,6}\.\d{1,3}", words[0], re.ASCII) else 0.0


def buffer_bytes(available: int, cache: int | None) -> int:
    """Size of the buffer to read: four times the last-level cache, but at most 3 % of the available memory."""
    wanted = max(64 * MIB, _CACHE_MULTIPLE * (cache or 0))
    return min(wanted, _LARGEST, int(available * _MEMORY_SHARE))


def last_level_cache(machine: Machine) -> int | None:
    """Bytes of the highest cache level, all its instances that this process may use, or None where /sys is silent."""
    instances: dict[tuple[int, str], int] = {}
    for folder in machine.glob("/sys/devices/system/cpu/cpu[0-9]*/cache/index[0-9]*"):
        level = machine.read_int(f"{folder}/level")
        shared = (machine.read(f"{folder}/shared_cpu_list") or "").strip()
        match = re.fullmatch(r"(\d{1,9})K\s*", machine.read(f"{folder}/size") or "", re.ASCII)
        mine = machine.facts.affinity is None or set(parse_cpu_list(shared)) & set(machine.facts.affinity)
        if level is not None and match and mine:
            instances[level, shared] = int(match[1]) * 1024
    highest = max((level for level, _ in instances), default=None)
    return sum(size for (level, _), size in instances.items() if level == highest) if highest is not None else None


def measure(size: int, threads: int, seconds: float = _SECONDS) -> float:
    """Bytes read per second by `threads` from a buffer of `size` bytes in the best of several passes."""
    import numpy as np

    buffer = np.ones(size // 8, dtype=np.int64)  # ones, so that every page is really there
    # An OR over 64-bit words is limited by memory, not by arithmetic, and numpy lets go of the GIL during it.
    readers: list[Callable[[], Any]] = [
        lambda part=part: np.bitwise_or.reduce(part)  # type: ignore[misc]
        for part in np.array_split(buffer, threads)
    ]
    best = float("inf")
    passes = 0
    end = time.perf_counter() + seconds
    while passes < _FEWEST_PASSES or time.perf_counter() < end:
        best = min(best, _pass(readers))
        passes += 1
    return buffer.nbytes / best


def _pass(readers: list[Callable[[], Any]]) -> float:
    """Seconds from the first reader's start to the last one's end. They are let go together."""
    barrier = threading.Barrier(len(readers))
    times: list[float] = []

    def work(reader: Callable[[], Any]) -> None:
        barrier.wait()
        # Taken here and not in the waiting thread, which may wake up late when all cores are busy.
        begin = time.perf_counter()
        reader()
        times.extend((begin, time.perf_counter()))

    workers = [threading.Thread(target=work, args=(reader,)) for reader in readers]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return max(times) - min(times)
