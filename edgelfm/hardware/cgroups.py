"""What Linux control groups grant this process: memory and processor time, the tightest of every ancestor.

Version 1 and version 2, also both at once, and both from inside a container, where the mount shows only a part of the
tree. Pages of files that nobody used lately (`inactive_file`) are charged to a group but are given back on demand, so
they count as free.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from .machine import Machine

# Version 1 has no word for "unlimited": it reads as the largest multiple of the page size, 9223372036854771712.
_UNLIMITED = 2**60


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """One group that limits memory. Bytes."""

    source: str  # "cgroup v2 /system.slice/app"
    limit: int
    available: int  # what can still be taken under this limit


@dataclass(frozen=True, slots=True)
class Limits:
    """What the groups grant. An empty tuple and None mean that nothing limits."""

    memory: tuple[MemoryLimit, ...] = ()
    cpu_quota: float | None = None  # cores' worth of time
    pressure_some_avg10: float | None = None  # memory pressure of our own group, percent of time


@dataclass(frozen=True, slots=True)
class Mount:
    """Where a hierarchy is mounted, and which part of it."""

    version: Literal[1, 2]
    point: str  # "/sys/fs/cgroup/memory"
    root: str  # the group at the mount point, "/" for the whole tree
    controllers: frozenset[str]  # version 1 only


def read_limits(machine: Machine) -> Limits:
    """The limits on this process. On systems without cgroups there are none."""
    groups = parse_membership(machine.read("/proc/self/cgroup") or "")
    mounts = parse_mounts(machine.read("/proc/self/mountinfo") or "")
    memory: list[MemoryLimit] = []
    quotas: list[float] = []
    pressures: list[float] = []
    for mount in mounts:
        controllers = ("",) if mount.version == 2 else sorted(mount.controllers & {"memory", "cpu"})
        for controller in controllers:
            path = groups.get(controller)
            if path is None:
                continue
            chain = ancestors(mount, path)
            for folder, name in chain:
                if mount.version == 2:
                    memory += _memory_v2(machine, folder, name)
                    quotas += _quota_v2(machine, folder)
                elif controller == "memory":
                    memory += _memory_v1(machine, folder, name)
                else:
                    quotas += _quota_v1(machine, folder)
            if mount.version == 2:
                pressure = parse_pressure(machine.read(f"{chain[0][0]}/memory.pressure") or "")
                pressures += [] if pressure is None else [pressure]
    return Limits(tuple(memory), min(quotas, default=None), max(pressures, default=None))


def parse_membership(text: str) -> dict[str, str]:
    """/proc/self/cgroup: controller to group. The version 2 hierarchy is the controller "" (an empty name)."""
    groups: dict[str, str] = {}
    for line in text.splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3 and parts[2].startswith("/"):
            groups |= dict.fromkeys(parts[1].split(","), parts[2])
    return groups


def parse_mounts(text: str) -> list[Mount]:
    """/proc/self/mountinfo: the cgroup hierarchies. See proc(5) for the columns."""
    mounts = []
    for line in text.splitlines():
        before, separator, after = line.partition(" - ")
        columns, kind = before.split(), after.split()
        if not separator or len(columns) < 5 or len(kind) < 3 or kind[0] not in ("cgroup", "cgroup2"):
            continue
        root, point = _unescape(columns[3]), _unescape(columns[4])
        mounts.append(Mount(2 if kind[0] == "cgroup2" else 1, point, root, frozenset(kind[2].split(","))))
    return mounts


def ancestors(mount: Mount, path: str) -> list[tuple[str, str]]:
    """Folder and name of the group and of each of its ancestors that the mount shows, the group first."""
    shown = "" if mount.root == "/" else mount.root
    if path != shown and not path.startswith(f"{shown}/"):
        # A container without a cgroup namespace is told its path in the host's tree, which it cannot see.
        path = mount.root
    inner = [part for part in path[len(shown) :].split("/") if part and part != ".."]
    levels = ["/".join(inner[:depth]) for depth in range(len(inner), -1, -1)]
    return [(f"{mount.point}/{level}".rstrip("/"), f"/{level}") for level in levels]


def parse_stat(text: str) -> dict[str, int]:
    """memory.stat: lines of a name and a number."""
    return {name: int(value) for name, value in re.findall(r"^(\w+) (\d{1,20})$", text, re.MULTILINE | re.ASCII)}


def parse_pressure(text: str) -> float | None:
    """Percent of the last ten seconds in which some task waited for memory, from a PSI file."""
    match = re.search(r"^some avg10=(\d{1,3}\.\d+)", text, re.MULTILINE | re.ASCII)
    return float(match[1]) if match else None


def _memory_v2(machine: Machine, folder: str, name: str) -> list[MemoryLimit]:
    found = []
    # Above memory.high the kernel slows a group down until it crawls, so it binds as memory.max does.
    for file in ("memory.max", "memory.high"):
        limit = machine.read_int(f"{folder}/{file}")  # "max" is no number
        if limit is not None:
            usage = machine.read_int(f"{folder}/memory.current") or 0
            idle = parse_stat(machine.read(f"{folder}/memory.stat") or "").get("inactive_file", 0)
            suffix = "" if file == "memory.max" else f" ({file})"
            found.append(MemoryLimit(f"cgroup v2 {name}{suffix}", limit, _room(limit, usage, idle)))
    return found


def _memory_v1(machine: Machine, folder: str, name: str) -> list[MemoryLimit]:
    stat = parse_stat(machine.read(f"{folder}/memory.stat") or "")
    # hierarchical_memory_limit also holds what ancestors outside a container's view impose.
    limits = [machine.read_int(f"{folder}/memory.limit_in_bytes"), stat.get("hierarchical_memory_limit")]
    finite = [limit for limit in limits if limit is not None and 0 <= limit < _UNLIMITED]
    if not finite:
        return []
    usage = machine.read_int(f"{folder}/memory.usage_in_bytes") or 0
    limit = min(finite)
    return [MemoryLimit(f"cgroup v1 {name}", limit, _room(limit, usage, stat.get("total_inactive_file", 0)))]


def _room(limit: int, usage: int, idle: int) -> int:
    return max(0, limit - max(0, usage - idle))


def _quota_v2(machine: Machine, folder: str) -> list[float]:
    match = re.fullmatch(r"(\d{1,15}) (\d{1,15})\s*", machine.read(f"{folder}/cpu.max") or "", re.ASCII)
    return [int(match[1]) / int(match[2])] if match and int(match[2]) else []


def _quota_v1(machine: Machine, folder: str) -> list[float]:
    quota = machine.read_int(f"{folder}/cpu.cfs_quota_us")
    period = machine.read_int(f"{folder}/cpu.cfs_period_us")
    return [quota / period] if quota is not None and quota > 0 and period is not None and period > 0 else []


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
