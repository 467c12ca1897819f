"""What a control group holds, version 1 and 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgelfm.monitor.groups import Group, GroupMemory

MIB = 1024**2
V2 = {
    "proc/self/cgroup": "0::/app/worker",
    "proc/self/mountinfo": "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
    "sys/fs/cgroup/app/worker/memory.current": 300 * MIB,
    "sys/fs/cgroup/app/worker/memory.max": "max",
    "sys/fs/cgroup/app/worker/memory.stat": f"anon 5\ninactive_file {50 * MIB}",
    "sys/fs/cgroup/app/memory.current": 900 * MIB,
    "sys/fs/cgroup/app/memory.max": 1024 * MIB,
    "sys/fs/cgroup/app/memory.stat": f"inactive_file {100 * MIB}",
}
V1 = {
    "proc/self/cgroup": "4:memory:/docker/abc\n1:cpu:/docker/abc",
    "proc/self/mountinfo": "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
    "sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes": 200 * MIB,
    "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": 512 * MIB,
    "sys/fs/cgroup/memory/docker/abc/memory.stat": f"inactive_file 1\ntotal_inactive_file {20 * MIB}",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": 4000 * MIB,
    "sys/fs/cgroup/memory/memory.limit_in_bytes": 9223372036854771712,
}


def test_the_group_that_limits_most_is_the_one_to_watch(tree: Callable[..., Path]) -> None:
    group = Group(tree(V2))
    assert group.folder == "/sys/fs/cgroup/app"
    assert group.read() == GroupMemory(used=800 * MIB, limit=1024 * MIB)


def test_a_limit_that_is_lowered_meanwhile_is_seen(tree: Callable[..., Path]) -> None:
    group = Group(tree(V2))
    tree({"sys/fs/cgroup/app/memory.high": 850 * MIB})
    told = group.read()
    assert told is not None
    assert told.limit == 850 * MIB


def test_without_a_limit_it_is_the_own_group(tree: Callable[..., Path]) -> None:
    group = Group(tree({**V2, "sys/fs/cgroup/app/memory.max": "max"}))
    assert group.folder == "/sys/fs/cgroup/app/worker"
    assert group.read() == GroupMemory(used=250 * MIB, limit=None)


def test_version_1(tree: Callable[..., Path]) -> None:
    assert Group(tree(V1)).read() == GroupMemory(used=180 * MIB, limit=512 * MIB)


@pytest.mark.parametrize("gone", ["proc/self/cgroup", "proc/self/mountinfo"])
def test_no_groups(tree: Callable[..., Path], gone: str) -> None:
    group = Group(tree({**V2, gone: ""}))
    assert group.read() is None
    assert group.folder is None


def test_groups_that_do_not_count_memory(tree: Callable[..., Path]) -> None:
    root = tree({key: value for key, value in V2.items() if not key.endswith("memory.current")})
    assert Group(root).read() is None
