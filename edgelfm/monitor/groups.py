"""What does the control group of this process hold of the memory it may have? Version 1 and version 2.

Which groups there are is found once; how their files read is told in `hardware.cgroups`, which this module uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..hardware.cgroups import ancestors, parse_membership, parse_mounts, parse_stat
from .files import ROOT, read_int, read_text

_UNLIMITED = 2**60  # version 1 has no word for it and shows a number beyond this


@dataclass(frozen=True, slots=True)
class GroupMemory:
    """Bytes of one group and of all below it."""

    used: int  # without pages of files that nobody used lately: those are given back on demand
    limit: int | None  # None if nothing limits it


class Group:
    """The group that limits this process most, or its own where none does. Looked for once and read many times."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._chain = _chain(root)  # own group first: version and folder
        limits = [(limit, place) for place in range(len(self._chain)) if (limit := self._limit(place)) is not None]
        self._place = min(limits)[1] if limits else 0

    @property
    def folder(self) -> str | None:
        """Where the group shows its files."""
        return self._chain[self._place][1] if self._chain else None

    @property
    def version(self) -> int | None:
        """Of control groups: 1 or 2."""
        return self._chain[self._place][0] if self._chain else None

    def read(self) -> GroupMemory | None:
        """What it holds now. None where there are no groups, or where they do not count memory."""
        if not self._chain:
            return None
        version, folder = self._chain[self._place]
        held = read_int(self._root, f"{folder}/{'memory.current' if version == 2 else 'memory.usage_in_bytes'}")
        if held is None:
            return None
        stat = parse_stat(read_text(self._root, f"{folder}/memory.stat") or "")
        idle = stat.get("inactive_file" if version == 2 else "total_inactive_file", 0)
        return GroupMemory(max(0, held - idle), self._limit(self._place))

    def _limit(self, place: int) -> int | None:
        version, folder = self._chain[place]
        # Above memory.high the kernel slows a group down until it crawls, so it binds as memory.max does.
        names = ("memory.max", "memory.high") if version == 2 else ("memory.limit_in_bytes",)
        read = (read_int(self._root, f"{folder}/{name}") for name in names)
        return min((limit for limit in read if limit is not None and 0 <= limit < _UNLIMITED), default=None)


def _chain(root: Path) -> list[tuple[int, str]]:
    membership = parse_membership(read_text(root, "/proc/self/cgroup") or "")
    for mount in parse_mounts(read_text(root, "/proc/self/mountinfo") or ""):
        controller = "" if mount.version == 2 else "memory"
        path = membership.get(controller)
        if path is None or (mount.version == 1 and "memory" not in mount.controllers):
            continue
        file = "memory.current" if mount.version == 2 else "memory.usage_in_bytes"
        # The root group of version 2 has no such file, and neither have groups that do not count memory.
        chain = [
            (mount.version, folder)
            for folder, _ in ancestors(mount, path)
            if read_int(root, f"{folder}/{file}") is not None
        ]
        if chain:
            return list(chain)
    return []
