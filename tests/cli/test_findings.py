"""What `edgelfm doctor` finds worth a word, on machines described by hand."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from edgelfm.cli.findings import findings
from edgelfm.hardware.host import Bandwidth, Board, Cpu, Disk, Host, Memory, OperatingSystem, Runtime
from edgelfm.hardware.profiles import Match, Profile
from edgelfm.models import catalog
from edgelfm.planning import plan

GIB = 1024**3
PROFILE = Profile("test", "a test board", GIB, ("llama.cpp", "onnx"), ("Q4_0",), bandwidth_bytes_per_second=17e9)
LLAMA = Runtime("llama.cpp", "llama-cpp-python", True, "0.3.36", ("NEON",), install="pip install 'edgelfm[llama]'")
SOUND = Host(
    cpu=Cpu(logical_cores=4, physical_cores=4),
    memory=Memory(8 * GIB, 6 * GIB),
    runtimes=(LLAMA,),
    disk=Disk("/models", 100 * GIB, 50 * GIB),
    bandwidth=Bandwidth(15e9, "measured"),
)

CASES = {
    "no runtime": (
        replace(SOUND, runtimes=(replace(LLAMA, installed=False),)),
        ("problem", "no runtime", "pip install 'edgelfm[llama]'"),
    ),
    "a broken runtime": (
        replace(SOUND, runtimes=(replace(LLAMA, reason="illegal instruction", advice="build it here"),)),
        ("problem", "illegal instruction", "build it here"),
    ),
    "a build that leaves i8mm unused": (
        replace(SOUND, runtimes=(replace(LLAMA, advice="the processor has i8mm: CMAKE_ARGS='-DX' pip install y"),)),
        ("warning", "has i8mm", "CMAKE_ARGS='-DX' pip install y"),
    ),
    "a limit of a container": (
        replace(SOUND, memory=replace(SOUND.memory, limit_bytes=GIB // 2, limit_source="cgroup v2 /app")),
        ("warning", "512 MiB of 8.00 GiB (cgroup v2 /app)", "limit"),
    ),
    "memory pressure": (
        replace(SOUND, memory=replace(SOUND.memory, pressure_some_avg10=42.0)),
        ("warning", "42 %", "close programs"),
    ),
    "a share of the processors": (
        replace(SOUND, cpu=replace(SOUND.cpu, quota=1.5)),
        ("note", "1.5 of 4", ""),
    ),
    "zram": (
        replace(SOUND, memory=replace(SOUND.memory, zram_bytes=GIB)),
        ("note", "adds no room", ""),
    ),
    "WSL": (
        replace(SOUND, os=OperatingSystem("linux", wsl=2)),
        ("note", "WSL", ".wslconfig"),
    ),
    "a full disk": (
        replace(SOUND, disk=Disk("/models", 100 * GIB, GIB)),
        ("warning", "1.00 GiB are free", "HF_HOME"),
    ),
    "slow memory": (
        replace(SOUND, bandwidth=Bandwidth(5e9, "measured")),
        ("warning", "5.0 GB/s", "hot"),
    ),
    "a board that throttles": (
        replace(SOUND, board=Board("raspberry-pi")),
        ("note", "slows down", "vcgencmd get_throttled"),
    ),
}


def test_a_sound_machine_gives_none() -> None:
    assert findings(SOUND, PROFILE) == ()


@pytest.mark.parametrize("case", CASES)
def test_one_finding_with_what_to_do(case: str) -> None:
    host, (level, text, fix) = CASES[case]
    (found,) = [one for one in findings(host, PROFILE) if text in one.text]
    assert found.level == level
    assert fix in found.fix


def test_problems_come_first() -> None:
    host = replace(SOUND, runtimes=(replace(LLAMA, installed=False),), board=Board("jetson"), disk=Disk("/", GIB, GIB))
    assert [one.level for one in findings(host, PROFILE)] == ["problem", "warning", "note"]


def test_what_is_not_installed_is_told_with_what_it_would_buy() -> None:
    host = Host(
        os=OperatingSystem("linux"), cpu=Cpu(logical_cores=4, physical_cores=4), memory=Memory(8 * GIB, 7 * GIB),
        bandwidth=Bandwidth(17e9, "measured"),
        runtimes=(LLAMA, Runtime("onnx", "onnxruntime", install="pip install 'edgelfm[onnx]'")),
    )  # fmt: skip
    made = plan(host, Match(PROFILE, "for the test"), tuple(catalog.load()), drivable={"llama.cpp", "onnx"})
    (found,) = [one for one in findings(host, PROFILE, made) if "onnx" in one.text]
    assert found.level == "note"
    assert found.fix == "pip install 'edgelfm[onnx]'"
    assert re.search(
        r"q4 on onnx: onnx is not installed; it would fit here .* in \S+ [GM]iB and write [\d.]+–[\d.]+ tokens/s",
        found.text,
    )
    assert re.search(r"; now: lfm2\.5-1\.2b-instruct Q4_0 on llama\.cpp, [\d.]+–[\d.]+ tokens/s$", found.text)
