"""How busy do other programs keep the cores? From two readings of what each core and each of our processes has done.

The load average would not do: it remembers our own work for a minute.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from .files import ROOT, read_text

_HERTZ = 100  # of the clock in /proc, on every architecture of Linux that user programs can see


@dataclass(frozen=True, slots=True)
class Work:
    """Processor time since the machine was started, in seconds."""

    busy: float  # of all cores together
    idle: float
    own: float  # of that, by the processes asked for


def read_work(pids: Collection[int], root: Path = ROOT) -> Work | None:
    """What the cores have done, and `pids` of it. None where the system does not say. /proc on Linux, else psutil."""
    text = read_text(root, "/proc/stat")
    if text is not None:
        first = text.partition("\n")[0].split()
        if len(first) < 6 or first[0] != "cpu" or not all(field.isascii() and field.isdigit() for field in first[1:]):
            return None
        times = [int(field) for field in first[1:]]
        idle = times[3] + times[4]  # idle and waiting for a disk
        busy = sum(times[:8]) - idle  # the fields after these are counted in the others already
        return Work(busy / _HERTZ, idle / _HERTZ, sum(_own_seconds(pid, root) for pid in pids))
    if root != ROOT or sys.platform == "linux":
        return None
    import psutil

    now = psutil.cpu_times()
    own = 0.0
    for pid in pids:
        try:
            used = psutil.Process(pid).cpu_times()
        except psutil.Error:
            continue  # it has ended
        own += used.user + used.system
    return Work(sum(now) - now.idle, now.idle, own)


def by_others(before: Work, after: Work) -> float | None:
    """Share of all cores that other programs used between two readings, 0 to 1. None if no time has passed."""
    busy, idle = after.busy - before.busy, after.idle - before.idle
    if busy + idle <= 0:
        return None
    return min(1.0, max(0.0, busy - max(0.0, after.own - before.own)) / (busy + idle))


def own_pids(*children: int | None) -> list[int]:
    """This process and those of its children that are given."""
    return [os.getpid(), *(pid for pid in children if pid is not None)]


def _own_seconds(pid: int, root: Path) -> float:
    """User and system time of one process; 0 if it has ended. Its name may hold spaces and brackets."""
    fields = (read_text(root, f"/proc/{pid}/stat") or "").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _HERTZ if len(fields) > 12 else 0.0
