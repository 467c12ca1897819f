"""Limits of control groups, in trees as Docker, Kubernetes and systemd leave them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgelfm.hardware.cgroups import Mount, ancestors, parse_membership, parse_mounts, parse_pressure, read_limits
from edgelfm.hardware.machine import Machine

Build = Callable[..., Machine]
MIB = 1024**2

V2 = "35 24 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
V1 = "41 24 0:41 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
V1_CPU = "42 24 0:42 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"


def v2(group: str, files: dict[str, str]) -> dict[str, str]:
    return {
        "/proc/self/cgroup": f"0::{group}\n",
        "/proc/self/mountinfo": V2,
        **{f"/sys/fs/cgroup{path}": text for path, text in files.items()},
    }


def v1(group: str, files: dict[str, str]) -> dict[str, str]:
    return {
        "/proc/self/cgroup": f"5:memory:{group}\n4:cpu,cpuacct:{group}\n",
        "/proc/self/mountinfo": V1 + V1_CPU,
        **{f"/sys/fs/cgroup{path}": text for path, text in files.items()},
    }


def test_the_tightest_ancestor_binds(build_machine: Build) -> None:
    limits = read_limits(build_machine(v2("/a/b", {
        "/a/b/memory.max": "max\n", "/a/memory.max": f"{512 * MIB}\n", "/a/memory.current": f"{300 * MIB}\n",
        "/a/memory.stat": f"anon 1\ninactive_file {100 * MIB}\n", "/memory.max": f"{900 * MIB}\n",
    })))  # fmt: skip
    assert [(limit.source, limit.limit // MIB, limit.available // MIB) for limit in limits.memory] == [
        ("cgroup v2 /a", 512, 312),  # 300 used, of which 100 are idle file pages
        ("cgroup v2 /", 900, 900),
    ]


def test_memory_high_binds_too(build_machine: Build) -> None:
    files = {"/a/memory.max": "max\n", "/a/memory.high": f"{64 * MIB}\n", "/a/memory.current": f"{80 * MIB}\n"}
    (limit,) = read_limits(build_machine(v2("/a", files))).memory
    assert (limit.source, limit.limit, limit.available) == ("cgroup v2 /a (memory.high)", 64 * MIB, 0)


def test_version_1_reads_its_sentinel_as_unlimited(build_machine: Build) -> None:
    files = {"/memory/a/memory.limit_in_bytes": "9223372036854771712\n", "/memory/memory.limit_in_bytes": "-1\n"}
    assert read_limits(build_machine(v1("/a", files))).memory == ()


def test_version_1_looks_at_every_ancestor(build_machine: Build) -> None:
    files = {
        "/memory/a/b/memory.limit_in_bytes": "9223372036854771712\n",
        "/memory/a/memory.limit_in_bytes": f"{256 * MIB}\n",
        "/memory/a/memory.usage_in_bytes": f"{56 * MIB}\n",
        "/memory/a/memory.stat": "inactive_file 7\n",  # its own alone; total_ counts the children as well
    }
    (limit,) = read_limits(build_machine(v1("/a/b", files))).memory
    assert (limit.source, limit.limit, limit.available) == ("cgroup v1 /a", 256 * MIB, 200 * MIB)


@pytest.mark.parametrize(
    ("text", "quota"),
    [("max 100000\n", None), ("150000 100000\n", 1.5), ("50000 0\n", None), ("", None), ("max\n", None)],
)
def test_version_2_quota(build_machine: Build, text: str, quota: float | None) -> None:
    assert read_limits(build_machine(v2("/a", {"/a/cpu.max": text}))).cpu_quota == quota


@pytest.mark.parametrize(("us", "quota"), [("-1", None), ("200000", 2.0), ("25000", 0.25)])
def test_version_1_quota(build_machine: Build, us: str, quota: float | None) -> None:
    folder = "/cpu,cpuacct/a"
    files = {f"{folder}/cpu.cfs_quota_us": us, f"{folder}/cpu.cfs_period_us": "100000"}
    assert read_limits(build_machine(v1("/a", files))).cpu_quota == quota


@pytest.mark.parametrize(
    ("root", "path", "folders"),
    [
        ("/", "/a/b", ["/m/a/b", "/m/a", "/m"]),
        ("/", "/", ["/m"]),
        ("/docker/x", "/docker/x/y", ["/m/y", "/m"]),
        ("/docker/x", "/docker/x", ["/m"]),
        ("/docker/x", "/docker/xy", ["/m"]),  # not inside it, although the text begins alike
        ("/", "/../../user.slice", ["/m/user.slice", "/m"]),  # joined from outside a namespace
    ],
)
def test_ancestors_as_far_as_the_mount_shows(root: str, path: str, folders: list[str]) -> None:
    assert [folder for folder, _ in ancestors(Mount(1, "/m", root, frozenset()), path)] == folders


def test_both_versions_at_once(build_machine: Build) -> None:
    files = {
        "/proc/self/cgroup": "4:memory:/a\n0::/b\n",
        "/proc/self/mountinfo": V1 + "9 1 0:9 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        "/sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1000000",
        "/sys/fs/cgroup/unified/b/memory.pressure": "some avg10=12.50 avg60=0.00 avg300=0.00 total=0\n",
    }
    limits = read_limits(build_machine(files))
    assert limits.memory[0].limit == 1000000
    assert limits.pressure_some_avg10 == 12.5


def test_mounts_with_spaces_in_their_path() -> None:
    (mount,) = parse_mounts(r"35 24 0:30 / /my\040cgroups rw - cgroup2 none rw")
    assert (mount.version, mount.point) == (2, "/my cgroups")


def test_membership() -> None:
    assert parse_membership("5:cpu,cpuacct:/x\n0::/y\nnonsense\n") == {"cpu": "/x", "cpuacct": "/x", "": "/y"}


@pytest.mark.parametrize(
    ("text", "percent"), [("some avg10=1.25 avg60=0.00", 1.25), ("full avg10=9.00", None), ("", None)]
)
def test_pressure(text: str, percent: float | None) -> None:
    assert parse_pressure(text) == percent


def test_no_cgroups_no_limits(build_machine: Build) -> None:
    limits = read_limits(build_machine())
    assert (limits.memory, limits.cpu_quota) == ((), None)
