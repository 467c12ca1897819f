"""Cores and features from the texts the systems give."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgelfm.hardware.arm_cores import describe_arm
from edgelfm.hardware.cgroups import Limits
from edgelfm.hardware.cpu import count_cores, parse_cpuinfo, read_cpu
from edgelfm.hardware.cpu_features import linux_features, macos_features, windows_features
from edgelfm.hardware.cpu_topology import count_fast_cores, fast_cpus, parse_cpu_list
from edgelfm.hardware.machine import Machine

Build = Callable[..., Machine]


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("0-3\n", (0, 1, 2, 3)),
        ("0,2-3,8", (0, 2, 3, 8)),
        ("5", (5,)),
        ("", ()),
        ("0-", ()),
        ("a-b", ()),
        ("0-999999999", ()),
        ("3-1", ()),
        ("9" * 5000, ()),
        ("0-8000," * 100 + "1", ()),
        ("٣", ()),
    ],
)
def test_cpu_list(text: str, cpus: tuple[int, ...]) -> None:
    assert parse_cpu_list(text) == cpus


@pytest.mark.parametrize(
    ("architecture", "words", "features"),
    [
        ("x86_64", "sse2 avx2 avx512_vnni amx_int8 amx_tile", ("amx_int8", "avx2", "avx512_vnni")),
        ("arm64", "fp asimd asimdhp asimddp i8mm bf16", ("bf16", "dotprod", "fp16", "i8mm", "neon")),
        ("arm64", "asimd sve sve2 sme", ("neon", "sme", "sve", "sve2")),
        ("armv7", "half thumb neon vfpv4", ("neon",)),
        ("arm64", "avx2", ()),
    ],
)  # fmt: skip
def test_linux_features(architecture: str, words: str, features: tuple[str, ...]) -> None:
    assert linux_features(words.split(), architecture) == features


def test_macos_features() -> None:
    arm = {"hw.optional.arm.FEAT_DotProd": "1", "hw.optional.arm.FEAT_SME": "0", "hw.optional.arm.AdvSIMD": "1"}
    assert macos_features(arm, "arm64") == ("dotprod", "neon")
    intel = {"machdep.cpu.features": "FPU AVX1.0 FMA F16C", "machdep.cpu.leaf7_features": "AVX2 BMI2"}
    assert macos_features(intel, "x86_64") == ("avx", "avx2", "f16c", "fma")


def test_windows_features() -> None:
    assert windows_features({39, 40}, "x86_64") == ("avx", "avx2", "f16c", "fma")
    assert windows_features({19, 43, 66}, "arm64") == ("dotprod", "i8mm", "neon")
    assert windows_features({39}, "x86_64") == ("avx",)


@pytest.mark.parametrize(
    ("parts", "description"),
    [
        ([("0x41", "0xd0b")] * 4, ("ARM", "4x Cortex-A76")),
        ([("0x41", "0xd05")] * 4 + [("0x41", "0xd0b")] * 2, ("ARM", "4x Cortex-A55 + 2x Cortex-A76")),
        ([("0x51", "0x001")], ("Qualcomm", "1x Oryon")),
        ([("0x41", "0xfff")], ("ARM", "1x ARM part 0xfff")),
        ([("0x99", "0x001")], ("", "1x implementer 0x99 part 0x1")),
        ([("none", "0x001")], ("", "")),
        ([], ("", "")),
    ],
)
def test_arm_cores_have_names(parts: list[tuple[str, str]], description: tuple[str, str]) -> None:
    assert describe_arm({"CPU implementer": maker, "CPU part": part} for maker, part in parts) == description


def test_cpuinfo_without_the_block_about_the_board() -> None:
    blocks = parse_cpuinfo(
        "processor\t: 0\nflags\t\t: a b\n\nprocessor\t: 1\nflags\t\t: a\n\nModel\t: Raspberry Pi 5\n"
    )
    assert [block["flags"] for block in blocks] == ["a b", "a"]


def test_cores_of_two_packages() -> None:
    one = {"physical id": "0", "cpu cores": "64"}
    assert count_cores([one, one, {"physical id": "1", "cpu cores": "64"}]) == 128
    assert count_cores([{"CPU part": "0xd0b"}]) is None


@pytest.mark.parametrize(
    ("capacity", "hertz", "fast"),
    [
        ({0: 414, 1: 414, 2: 1024, 3: 1024}, {}, (2, 3)),
        ({0: 1024, 1: 1024, 2: 1024, 3: 1024}, {0: 5_200, 1: 5_200, 2: 3_300, 3: 3_300}, (0, 1)),
        ({}, {0: 5_400, 1: 5_200, 2: 5_200, 3: 5_200}, (0, 1, 2, 3)),  # favoured cores are no cluster of their own
        ({}, {}, (0, 1, 2, 3)),
    ],
)
def test_fast_cores(capacity: dict[int, int], hertz: dict[int, int], fast: tuple[int, ...]) -> None:
    assert fast_cpus((0, 1, 2, 3), capacity, hertz) == fast


@pytest.mark.parametrize(
    ("affinity", "cores"),
    [(None, 2), ((0, 1), 1), ((0, 2), 2), ((4, 5), 2), ((0, 4), 1)],
    ids=["anywhere", "two threads of one core", "two cores", "pinned to the slow ones", "one of each"],
)
def test_fast_cores_within_affinity(affinity: tuple[int, ...] | None, cores: int) -> None:
    groups = [(0, 1), (2, 3), (4,), (5,)]
    assert count_fast_cores(groups, (0, 1, 2, 3), affinity) == cores


def test_features_are_those_of_every_core(build_machine: Build) -> None:
    cpuinfo = "processor : 0\nflags : avx2 avx512f\n\nprocessor : 1\nflags : avx2\n"
    assert read_cpu(build_machine({"/proc/cpuinfo": cpuinfo}), Limits()).features == ("avx2",)


@pytest.mark.parametrize(
    ("logical", "affinity", "quota", "usable"),
    [(8, None, None, 8), (8, "0-1", None, 2), (8, None, 2.5, 2), (8, None, 0.5, 1)],
)
def test_usable_cores(build_machine: Build, logical: int, affinity: str | None, quota: float, usable: int) -> None:
    machine = build_machine(logical_cores=logical, **({"affinity": affinity} if affinity else {}))
    assert read_cpu(machine, Limits(cpu_quota=quota)).usable_cores == usable


def test_a_machine_that_tells_nothing_still_has_a_core(build_machine: Build) -> None:
    cpu = read_cpu(build_machine(machine="riscv64"), Limits())
    assert (cpu.logical_cores, cpu.physical_cores, cpu.architecture) == (1, None, "unknown")
