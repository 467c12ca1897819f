"""Which weights are rewritten for the CPU, as llama.cpp's log showed it for the 1.2B."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgelfm.hardware.host import Cpu, Host
from edgelfm.models.entry import ModelEntry
from edgelfm.models.ggml import Tensor
from edgelfm.models.tensors import tensors
from edgelfm.planning.repacking import copied_bytes, repacked_bytes, repacked_types
from edgelfm.units import MIB

MakeHost = Callable[..., Host]


@pytest.fixture
def flagship(model: Callable[[str], ModelEntry]) -> Callable[[str], tuple[Tensor, ...]]:
    """Tensors of the 1.2B by quantization."""
    architecture = model("lfm2.5-1.2b-instruct").architecture
    assert architecture is not None
    return lambda quantization: tensors(architecture, quantization)


def test_q4_0_on_avx2_repacks_556_mib_and_keeps_the_embedding_once(
    make_host: MakeHost, flagship: Callable[[str], tuple[Tensor, ...]]
) -> None:
    types = repacked_types(make_host(build=("AVX2", "FMA")))
    assert round(repacked_bytes(flagship("Q4_0"), types) / MIB) == 556, "CPU_REPACK in the log"
    assert copied_bytes(flagship("Q4_0"), types, tied=True) == 0, "Q6_K has no AVX2 kernels for repacked rows"


def test_arm_has_kernels_for_more_types_and_keeps_the_tied_embedding_twice(
    make_host: MakeHost, flagship: Callable[[str], tuple[Tensor, ...]]
) -> None:
    types = repacked_types(make_host(build=("NEON", "DOTPROD")))
    embedding = next(one for one in flagship("Q8_0") if one.name == "token_embd.weight")
    assert copied_bytes(flagship("Q8_0"), types, tied=True) == embedding.bytes
    assert copied_bytes(flagship("Q8_0"), types, tied=False) == 0
    assert repacked_bytes(flagship("Q8_0"), types) > 900 * MIB


def test_floats_are_never_repacked(make_host: MakeHost, flagship: Callable[[str], tuple[Tensor, ...]]) -> None:
    types = repacked_types(make_host(build=("AVX2", "AVX512", "AMX_INT8", "DOTPROD")))
    assert repacked_bytes(flagship("F16"), types) == 0


def test_an_old_arm_core_repacks_nothing(make_host: MakeHost) -> None:
    assert repacked_types(make_host(build=("NEON", "ARM_FMA"))) == frozenset()


def test_the_build_decides_not_the_cpu(make_host: MakeHost) -> None:
    able = Cpu(features=("avx2", "avx512f"))
    assert repacked_types(make_host(cpu=able, build=("SSE3",))) == frozenset()
    assert "Q4_K" in repacked_types(make_host(cpu=able, build=None)), "not built yet: as a native build would"
