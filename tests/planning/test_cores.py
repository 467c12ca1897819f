"""Few cores beside fast memory: the range holds what they compute, on every machine where that was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from edgelfm.hardware.host import Cpu, Host
from edgelfm.models.entry import ModelEntry
from edgelfm.planning.cores import multiply_adds
from edgelfm.planning.plan import Plan

MakeHost = Callable[..., Host]
Planned = Callable[..., Plan]

VNNI = ("SSE3", "AVX2", "AVX512", "AVX512_VNNI")
A76 = ("NEON", "DOTPROD")
A72 = ("NEON",)

#: Build of llama.cpp, cores, GB/s of bandwidth, whether it was measured, model, quantization, tokens/s.
SEEN_HERE = {
    "the first EPYC": (VNNI, 2, 31.6, True, "lfm2.5-350m", "Q4_0", (94, 105)),
    "the first EPYC, 1.2B": (VNNI, 2, 31.6, True, "lfm2.5-1.2b-instruct", "Q4_0", (38, 38)),
    "the first EPYC, 8 bits": (VNNI, 2, 31.6, True, "lfm2.5-1.2b-instruct", "Q8_0", (20, 20)),
    "the second EPYC": (VNNI, 2, 54.5, True, "lfm2.5-350m", "Q4_0", (77, 78)),
    "the second EPYC, SmolLM2": (VNNI, 2, 54.5, True, "starter", "Q4_1", (86, 88)),
    "published, Ryzen AI 9 HX 370": (VNNI, 12, 120, False, "lfm2.5-1.2b-instruct", "Q4_0", (116, 116)),
    "published, Ryzen AI Max+ 395": (VNNI, 16, 256, False, "lfm2.5-1.2b-instruct", "Q4_0", (239, 239)),
    "published, Ryzen AI Max+ 395, 350M": (VNNI, 16, 256, False, "lfm2.5-350m", "Q4_0", (313, 313)),
    "published, Raspberry Pi 5": (A76, 4, 17.1, False, "lfm2.5-350m", "Q8_0", (30, 30)),
    "published, Raspberry Pi 4, a 1.1B": (A72, 4, 5.6, False, "lfm2.5-1.2b-instruct", "Q8_0", (2.8, 3)),
}


def cores(count: int, build: tuple[str, ...]) -> Cpu:
    architecture = "arm64" if "NEON" in build else "x86_64"
    return Cpu(architecture=architecture, logical_cores=count, physical_cores=count)  # type: ignore[arg-type]


@pytest.mark.parametrize("case", SEEN_HERE)
def test_the_range_holds_what_was_seen(
    case: str,
    make_host: MakeHost,
    make_match: Callable[..., object],
    planned: Planned,
    model: Callable[[str], ModelEntry],
) -> None:
    build, count, rate, measured, name, quantization, (least, most) = SEEN_HERE[case]
    host = make_host(build=build, cpu=cores(count, build), bandwidth=rate * 1e9 if measured else None)
    match = make_match(bandwidth=rate * 1e9)
    chosen = planned(host=host, match=match, model=model(name), quantization=quantization).chosen
    assert chosen is not None
    assert chosen.decode.low is not None
    assert chosen.decode.high is not None
    assert chosen.decode.low < least <= most < chosen.decode.high


def test_one_thread_is_promised_less_than_two_and_says_why(
    make_host: MakeHost, planned: Planned, model: Callable[[str], ModelEntry]
) -> None:
    host = make_host(build=VNNI, cpu=cores(2, VNNI), bandwidth=54e9)
    one, two = (planned(host=host, model=model("lfm2.5-350m"), threads=count).candidates[0] for count in (1, 2))
    assert one.decode.high < two.decode.high
    assert "its cores may compute with as little as" in one.decode.reason


def test_many_cores_are_bound_by_memory_alone(
    make_host: MakeHost, planned: Planned, model: Callable[[str], ModelEntry]
) -> None:
    host = make_host(build=VNNI, cpu=cores(16, VNNI), bandwidth=54e9)
    assert "its cores" not in planned(host=host, model=model("lfm2.5-350m")).candidates[0].decode.reason


def test_instructions_clock_and_quota_count(make_host: MakeHost) -> None:
    fast = make_host(build=VNNI, cpu=cores(4, VNNI))
    old = make_host(build=("SSE3", "AVX"), cpu=cores(4, VNNI))
    a72 = make_host(build=A72, cpu=replace(cores(4, A72), model="4x Cortex-A72"))
    a53 = make_host(build=A72, cpu=replace(cores(4, A72), model="4x Cortex-A53"))
    half = make_host(build=VNNI, cpu=replace(cores(4, VNNI), quota=0.5))
    paces = [multiply_adds(host, 4) for host in (fast, old, a72, a53)]
    assert paces == sorted(paces, reverse=True), "each is slower than the one before"
    assert multiply_adds(half, 4) == tuple(pace / 8 for pace in multiply_adds(fast, 4) or ())
    assert multiply_adds(fast, 4, repacked=False)[1] < multiply_adds(fast, 4)[1]
    assert multiply_adds(fast, 400) == multiply_adds(fast, 4), "more threads than cores compute no faster"


def test_nothing_is_said_of_processors_that_nobody_knows(make_host: MakeHost) -> None:
    assert multiply_adds(make_host(build=None, cpu=Cpu(architecture="unknown")), 4) is None
