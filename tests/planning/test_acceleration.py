"""A GPU is used where llama.cpp was compiled for it, counted once where it shares memory, and named where it idles."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgelfm.hardware.host import Gpu, Host
from edgelfm.planning.acceleration import HEADROOM, acceleration
from edgelfm.units import GIB

ORIN = Gpu("nvidia", "Orin", unified=True, usable=True)
RTX = Gpu("nvidia", "RTX 4090", memory_total_bytes=24 * GIB, memory_available_bytes=23 * GIB, usable=True)
RADEON = Gpu("amd", "Radeon 8060S", unified=True, memory_total_bytes=64 * GIB, usable=True)
APPLE = Gpu("apple", "Apple M4 GPU", unified=True, memory_total_bytes=12 * GIB, usable=True)
MALI = Gpu("arm", "Mali-G610", unified=True, usable=True)
BROKEN = Gpu("nvidia", "GTX 750", memory_total_bytes=2 * GIB, reason="the driver does not answer")

MakeHost = Callable[..., Host]


@pytest.mark.parametrize(
    ("gpu", "build", "interface"),
    [
        (ORIN, ("CUDA", "NEON"), "CUDA"),
        (RTX, ("Vulkan",), "VULKAN"),
        (RTX, ("Vulkan", "CUDA"), "CUDA"),
        (RADEON, ("ROCm",), "HIP"),
        (APPLE, ("Metal", "NEON"), "METAL"),
        (APPLE, ("MTL",), "METAL"),
    ],
)
def test_a_gpu_the_build_can_drive_is_used(
    make_host: MakeHost, gpu: Gpu, build: tuple[str, ...], interface: str
) -> None:
    found = acceleration(make_host(gpus=(gpu,), build=build))
    assert found.gpu is gpu
    assert found.interface == interface
    assert not found.advice


@pytest.mark.parametrize(
    ("gpu", "command"),
    [
        (ORIN, "-DGGML_CUDA=on"),
        (RTX, "-DGGML_CUDA=on"),
        (RADEON, "-DGGML_VULKAN=on"),
        (APPLE, "-DGGML_METAL=on"),
    ],
)
def test_a_gpu_under_a_cpu_build_stands_idle_with_the_command_that_wakes_it(
    make_host: MakeHost, gpu: Gpu, command: str
) -> None:
    found = acceleration(make_host(gpus=(gpu,), build=("NEON",)))
    assert found.gpu is None
    assert gpu.name in found.reason
    assert command in found.advice
    assert "--no-binary llama-cpp-python" in found.advice


def test_without_llama_cpp_the_advice_installs_it_with_the_gpu(make_host: MakeHost) -> None:
    found = acceleration(make_host(gpus=(RTX,), build=None))
    assert found.reason == "llama.cpp is not installed"
    assert "CMAKE_ARGS='-DGGML_NATIVE=on -DGGML_CUDA=on' pip install 'edgelfm[llama]'" in found.advice


def test_without_llama_cpp_an_integrated_gpu_is_no_reason_to_compile(make_host: MakeHost) -> None:
    assert not acceleration(make_host(gpus=(RADEON,), build=None)).advice


def test_on_windows_the_command_is_for_powershell(make_host: MakeHost) -> None:
    assert "$env:CMAKE_ARGS='" in acceleration(make_host(gpus=(RTX,), system="windows")).advice


def test_the_discrete_gpu_is_taken_before_the_shared_one(make_host: MakeHost) -> None:
    assert acceleration(make_host(gpus=(RADEON, RTX), build=("Vulkan",))).gpu is RTX


def test_own_memory_is_counted_with_headroom_and_shared_memory_not_at_all(make_host: MakeHost) -> None:
    discrete = acceleration(make_host(gpus=(RTX,), build=("CUDA",)))
    assert discrete.own_bytes == 23 * GIB - HEADROOM
    assert discrete.shared_bytes is None
    shared = acceleration(make_host(gpus=(APPLE,), build=("Metal",)))
    assert shared.own_bytes is None
    assert shared.shared_bytes == 12 * GIB


@pytest.mark.parametrize("gpu", [MALI, BROKEN])
def test_a_gpu_nothing_here_can_drive_brings_no_advice(make_host: MakeHost, gpu: Gpu) -> None:
    found = acceleration(make_host(gpus=(gpu,)))
    assert found.gpu is None
    assert not found.advice
    assert gpu.name in found.reason


def test_no_gpu_is_said(make_host: MakeHost) -> None:
    assert acceleration(make_host()).reason == "no GPU was found"
