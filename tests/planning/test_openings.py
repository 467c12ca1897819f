"""In which numbers PyTorch is to compute: by what the processor has, and where it lacks that, by what was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from edgelfm.hardware.host import Cpu, Host, Runtime
from edgelfm.planning.openings import dtype
from edgelfm.units import GIB


@pytest.fixture
def host(make_host: Callable[..., Host]) -> Callable[..., Host]:
    """`host(("avx2",), "bf16 0.62")`: a machine with torch, what its processor can do, and what is known of both."""

    def make(features: tuple[str, ...], *build: str) -> Host:
        made = make_host(8 * GIB, cpu=Cpu(architecture="x86_64", logical_cores=4, physical_cores=4, features=features))
        return replace(made, runtimes=(Runtime("transformers", "transformers", True, "5.24", ("torch 2.13", *build)),))

    return make


@pytest.mark.parametrize(
    ("features", "build", "stored", "expected", "grade"),
    [
        (("avx2", "avx512_bf16"), (), "bf16", "bf16", "estimated"),
        (("avx2",), (), "bf16", "f32", "unknown"),
        (("avx2",), ("bf16 0.62",), "bf16", "bf16", "measured"),
        (("avx2",), ("bf16 3.10",), "bf16", "f32", "measured"),
        (("avx2",), ("bf16 0.62",), "fp32", "f32", "estimated"),
        (("avx2",), (), "int8", "bf16", "estimated"),
    ],
)
def test_numbers_on_a_cpu(
    host: Callable[..., Host],
    features: tuple[str, ...],
    build: tuple[str, ...],
    stored: str,
    expected: str,
    grade: str,
) -> None:
    decision = dtype("transformers", host(features, *build), stored, offloaded=False)
    assert decision is not None
    assert (decision.value, decision.grade) == (expected, grade)
    assert decision.reason


def test_a_gpu_computes_in_what_is_stored(host: Callable[..., Host]) -> None:
    decision = dtype("transformers", host(("avx2",)), "bf16", offloaded=True)
    assert decision is not None
    assert decision.value == "bf16"


def test_other_runtimes_have_no_such_choice(host: Callable[..., Host]) -> None:
    assert dtype("llama.cpp", host(("avx2",)), "Q4_0", offloaded=False) is None
