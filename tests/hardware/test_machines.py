"""What an expert would say about each recorded machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgelfm.hardware import Host, inspect
from edgelfm.hardware.machine import Machine

GIB = 1024**3


@dataclass(frozen=True)
class Expert:
    """Cores as (hardware threads, physical, fast, usable); sizes in GiB, to a tenth."""

    cores: tuple[int, int, int, int]
    features: str
    memory: float
    available: float
    board: tuple[str, str] = ("generic", "")
    model: str = ""
    gpu: tuple[str, bool, bool] | None = None  # vendor, unified, usable
    gpu_memory: float | None = None
    npu: tuple[str, bool, str] | None = None  # vendor, usable, words of the reason
    swap: tuple[float, float] = (0, 0)  # disk, zram
    runtimes: str = "llama.cpp"
    advice: tuple[str, ...] = ()
    container: str | None = None
    wsl: int | None = None
    limit: float | None = None
    quota: float | None = None
    architecture: str = "x86_64"


PI5 = "dotprod fp16 neon"
ZEN4 = "avx avx2 avx512_bf16 avx512_vnni avx512f f16c fma"
ZEN5 = "avx avx2 avx512_bf16 avx512_vnni avx512f avx_vnni f16c fma"
HASWELL = "avx avx2 f16c fma"
ALDER = "avx avx2 avx_vnni f16c fma"
ANE = ("apple", False, "Core ML")

EXPERTS = {
    "pi5-8gb": Expert(
        (4, 4, 4, 4), PI5, 7.9, 7.2, ("raspberry-pi", "bcm2712"), "4x Cortex-A76", swap=(0, 2.0), architecture="arm64"
    ),
    "pi5-4gb": Expert(
        (4, 4, 4, 4), PI5, 4.0, 2.3, ("raspberry-pi", "bcm2712"), "4x Cortex-A76", swap=(0.5, 0), architecture="arm64"
    ),
    "pi5-16gb-hailo10h": Expert(
        (4, 4, 4, 4), PI5, 15.8, 14.9, ("raspberry-pi", "bcm2712"), swap=(0, 2.0), architecture="arm64",
        npu=("hailo", True, "libhailort.so.5.1.1"),
    ),
    "pi4-2gb": Expert(
        (4, 4, 4, 4), "neon", 1.8, 1.5, ("raspberry-pi", "bcm2711"), "4x Cortex-A72", swap=(0.5, 0),
        architecture="arm64",
    ),
    "pi-zero-2w": Expert(
        (4, 4, 4, 4), "neon", 0.4, 0.3, ("raspberry-pi", "bcm2837"), "4x Cortex-A53", swap=(0.1, 0),
        architecture="arm64",
    ),
    "pi3-32bit": Expert(
        (4, 4, 4, 4), "neon", 0.9, 0.7, ("raspberry-pi", "bcm2837"), swap=(0.1, 0), architecture="armv7", runtimes=""
    ),
    "jetson-orin-nano-8gb": Expert(
        (6, 6, 6, 6), PI5, 7.4, 5.4, ("jetson", "tegra234"), "6x Cortex-A78AE", ("nvidia", True, True), 7.4,
        swap=(0, 3.7), architecture="arm64",
    ),
    "jetson-agx-orin": Expert(
        (12, 12, 12, 12), PI5, 61.4, 56.0, ("jetson", "tegra234"), "12x Cortex-A78AE", ("nvidia", True, True), 61.4,
        swap=(0, 30.7), architecture="arm64", advice=("no CUDA", "-DGGML_CUDA=on"),
    ),
    "jetson-thor": Expert(
        (14, 14, 14, 14), "bf16 dotprod fp16 i8mm neon sve sve2", 122.8, 116.0, ("jetson", "tegra264"),
        "14x Neoverse-V3AE", ("nvidia", True, True), 122.8, architecture="arm64",
    ),
    "ryzen-ai-max-395": Expert(
        (32, 16, 16, 16), ZEN5, 125.1, 118.9, gpu=("amd", True, True), gpu_memory=63.0, swap=(8.0, 0),
        npu=("amd", False, "FastFlowLM"),
    ),
    "ryzen-ai-9-hx370": Expert(
        (24, 12, 4, 4), ZEN5, 30.5, 24.0, gpu=("amd", True, True), gpu_memory=15.8, swap=(0, 8.0),
        npu=("amd", False, "no permission for /dev/accel/accel0: sudo usermod -aG render $USER"),
        runtimes="llama.cpp onnx",
    ),
    "intel-avx2-old": Expert(
        (4, 4, 4, 4), HASWELL, 7.6, 5.4, gpu=("intel", True, True), gpu_memory=7.6, swap=(2.0, 0), runtimes=""
    ),
    "core-ultra-npu": Expert(
        (22, 16, 6, 6), ALDER, 30.9, 25.0, gpu=("intel", True, True), gpu_memory=30.9, swap=(8.0, 0),
        npu=("intel", True, "openvino 2025.3.0"), runtimes="llama.cpp onnx",
    ),
    "snapdragon-x-elite": Expert(
        (12, 12, 12, 12), "bf16 dotprod fp16 i8mm neon", 15.6, 8.5, ("snapdragon", "x1e80100"), architecture="arm64",
        gpu=("qualcomm", True, True), gpu_memory=7.8, npu=("qualcomm", False, "pip install onnxruntime-qnn"),
        swap=(2.0, 0),
        advice=("i8mm", "$env:CMAKE_ARGS="),
    ),
    "windows-core-ultra-200v": Expert(
        (8, 8, 8, 8), HASWELL, 31.5, 20.0, gpu=("intel", True, True), gpu_memory=15.8, swap=(5.0, 0), runtimes="",
        npu=("intel", False, "openvino"),
    ),
    "mac-m2": Expert(
        (8, 8, 4, 4), "bf16 dotprod fp16 i8mm neon", 8.0, 3.1, ("mac", "Apple M2"), "Apple M2",
        ("apple", True, True), 5.3, ANE, (1.0, 0), architecture="arm64",
    ),
    "mac-m4-max": Expert(
        (16, 16, 12, 12), "bf16 dotprod fp16 i8mm neon sme", 64.0, 44.0, ("mac", "Apple M4 Max"), "Apple M4 Max",
        ("apple", True, True), 48.0, ANE, (1.0, 0), architecture="arm64",
    ),
    "mac-m4-max-mlx": Expert(
        (16, 16, 12, 12), "bf16 dotprod fp16 i8mm neon sme", 64.0, 50.0, ("mac", "Apple M4 Max"), "Apple M4 Max",
        ("apple", True, True), 56.0, ANE, (1.0, 0), "llama.cpp mlx", architecture="arm64",
    ),
    "rtx4090-desktop": Expert(
        (16, 8, 8, 8), ZEN4, 62.0, 55.0, gpu=("nvidia", False, True), gpu_memory=24.0, swap=(2.0, 0),
        runtimes="llama.cpp ollama transformers",
    ),
    "rk3588-orangepi5": Expert(
        (8, 8, 4, 4), PI5, 7.8, 7.0, ("rk3588", "rk3588"), "4x Cortex-A55 + 4x Cortex-A76", ("arm", True, False), 7.8,
        ("rockchip", False, "librkllmrt.so"), (0, 3.9), architecture="arm64",
    ),
    "container-512mb": Expert(
        (256, 128, 128, 1), HASWELL, 503.7, 0.4, container="docker", limit=0.5, quota=1.0
    ),
    "container-v1": Expert(
        (256, 128, 128, 2), HASWELL, 503.7, 1.2, container="kubernetes", limit=1.5, quota=2.0
    ),
    "wsl2": Expert(
        (20, 10, 10, 10), ALDER, 7.6, 6.6, gpu=("nvidia", False, True), gpu_memory=6.0, swap=(2.0, 0), wsl=2,
        advice=("no CUDA",),
    ),
    "epyc-server": Expert(
        (32, 16, 16, 16), ZEN4, 188.7, 182.0, advice=("avx512_vnni", "-DGGML_NATIVE=on")
    ),
}  # fmt: skip


def gib(size: int | None) -> float | None:
    return None if size is None else round(size / GIB, 1)


def test_every_recorded_machine_has_an_expert(machine_names: list[str]) -> None:
    assert sorted(EXPERTS) == machine_names


@pytest.mark.parametrize("name", EXPERTS)
def test_an_expert_would_say_the_same(name: str, machine_host: Callable[[str], Host]) -> None:
    host, expert = machine_host(name), EXPERTS[name]
    cpu, memory = host.cpu, host.memory
    assert (cpu.logical_cores, cpu.physical_cores, cpu.performance_cores, cpu.usable_cores) == expert.cores
    assert " ".join(cpu.features) == expert.features
    assert cpu.architecture == expert.architecture
    assert expert.model in cpu.model
    assert cpu.quota == expert.quota
    assert (gib(memory.total_bytes), gib(memory.available_bytes)) == (expert.memory, expert.available)
    assert (gib(memory.swap_bytes), gib(memory.zram_bytes)) == expert.swap
    assert gib(memory.limit_bytes) == expert.limit
    assert (host.board.family, host.board.soc) == expert.board
    assert [(gpu.vendor, gpu.unified, gpu.usable) for gpu in host.gpus] == ([expert.gpu] if expert.gpu else [])
    assert [gib(gpu.memory_total_bytes) for gpu in host.gpus] == ([expert.gpu_memory] if expert.gpu else [])
    assert [(npu.vendor, npu.usable) for npu in host.npus] == ([expert.npu[:2]] if expert.npu else [])
    assert not expert.npu or expert.npu[2] in host.npus[0].reason
    installed = sorted(runtime.name for runtime in host.runtimes if runtime.installed)
    assert " ".join(installed) == expert.runtimes
    assert (host.os.container, host.os.wsl) == (expert.container, expert.wsl)
    advice = next(runtime.advice for runtime in host.runtimes if runtime.name == "llama.cpp")
    assert all(words in advice for words in expert.advice)
    assert bool(advice) == bool(expert.advice)
    assert host.remarks == ()
    assert host.disk.free_bytes


def test_what_is_not_installed_names_the_command(machine_name: str, machine_host: Callable[[str], Host]) -> None:
    for runtime in machine_host(machine_name).runtimes:
        assert runtime.installed or runtime.install or runtime.reason


def test_unified_memory_is_never_more_than_there_is(machine_name: str, machine_host: Callable[[str], Host]) -> None:
    host = machine_host(machine_name)
    for gpu in host.gpus:
        if gpu.unified and gpu.vendor != "amd":  # AMD's carve-out lies outside what the system counts as memory
            assert gpu.memory_total_bytes is not None
            assert gpu.memory_total_bytes <= host.memory.total_bytes
            assert gpu.memory_available_bytes is not None
            assert gpu.memory_available_bytes <= host.memory.available_bytes


def test_a_jetson_and_its_firmware(machine_host: Callable[[str], Host]) -> None:
    nano = machine_host("jetson-orin-nano-8gb")
    assert nano.board.firmware == "L4T 36.4.3"
    assert nano.board.compatible[0] == "nvidia,p3768-0000+p3767-0005-super"
    assert nano.gpus[0].compute_capability == "8.7"
    assert machine_host("jetson-thor").gpus[0].compute_capability == "11.0"


def test_the_pi_5_has_large_pages(machine_host: Callable[[str], Host]) -> None:
    assert machine_host("pi5-8gb").memory.page_size == 16384


def test_a_recorded_machine_is_not_measured(machine_folder: Callable[[str], Path]) -> None:
    host = inspect(Machine.from_folder(machine_folder("pi5-8gb")), bandwidth=True)
    assert host.bandwidth.bytes_per_second is None
    assert "recorded" in host.bandwidth.reason
