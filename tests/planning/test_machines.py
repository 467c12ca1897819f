"""The plan for every recorded machine, as somebody who knows the board would make it by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from edgelfm.hardware import Host, profiles
from edgelfm.hardware.host import Bandwidth
from edgelfm.models.entry import ModelEntry
from edgelfm.planning import plan
from edgelfm.planning.plan import Plan, Request
from edgelfm.units import GIB, MIB


@dataclass(frozen=True)
class Expected:
    """What the plan must say. `model` empty: nothing can run, and `fix` is what would help first."""

    model: str
    quantization: str = "Q4_0"
    context: tuple[int, int] = (2048, 16384)
    memory: int = 2 * GIB  # at most, main and GPU memory together
    gpu_layers: int = 0
    backend: str = "llama.cpp"
    threads: int | None = None
    mmap: bool = False
    advice: str = ""
    fix: str = ""


FLAGSHIP, SMALL, SMALLEST = "lfm2.5-1.2b-instruct", "lfm2.5-350m", "lfm2.5-230m"

MACHINES = {
    # Raspberry Pi: no dot product before the 5, so nothing is repacked and mapping is free.
    "pi-zero-2w": Expected("", fix="close 40 MiB of other programs"),
    "pi3-32bit": Expected("", fix="pip install 'edgelfm[llama]'"),
    "pi4-2gb": Expected(SMALL, context=(1024, 2048), memory=400 * MIB, threads=4, mmap=True),
    "pi5-4gb": Expected(FLAGSHIP, context=(2048, 4096), memory=GIB, threads=4),
    "pi5-8gb": Expected(FLAGSHIP, context=(4096, 8192), memory=GIB, threads=4),
    "pi5-16gb-hailo10h": Expected(FLAGSHIP, context=(8192, 8192), memory=1100 * MIB, threads=4),
    # Other ARM boards: the four fast cores of the RK3588, not all eight.
    "rk3588-orangepi5": Expected(FLAGSHIP, context=(8192, 8192), memory=GIB, threads=4),
    "snapdragon-x-elite": Expected(FLAGSHIP, context=(8192, 8192), memory=GIB, threads=12, advice="-DGGML_OPENCL=on"),
    # Jetson: memory is shared and counted once; a build without CUDA leaves the GPU idle.
    "jetson-orin-nano-8gb": Expected(FLAGSHIP, "Q4_K_M", (4096, 8192), 1400 * MIB, gpu_layers=17),
    "jetson-agx-orin": Expected(FLAGSHIP, "Q8_0", (16384, 16384), threads=12, advice="-DGGML_CUDA=on"),
    "jetson-thor": Expected(FLAGSHIP, "Q8_0", (16384, 16384), gpu_layers=17),
    # x86 with integrated graphics.
    "intel-avx2-old": Expected("", fix="pip install 'edgelfm[llama]'"),
    "core-ultra-npu": Expected(FLAGSHIP, threads=6, memory=1100 * MIB, advice="-DGGML_VULKAN=on"),
    "windows-core-ultra-200v": Expected("", fix="pip install 'edgelfm[llama]'"),
    "ryzen-ai-9-hx370": Expected(FLAGSHIP, threads=12, memory=1100 * MIB, advice="-DGGML_VULKAN=on"),
    "ryzen-ai-max-395": Expected(FLAGSHIP, threads=16, memory=1100 * MIB, advice="-DGGML_VULKAN=on"),
    # Cards with memory of their own.
    "rtx4090-desktop": Expected(FLAGSHIP, "Q8_0", (16384, 16384), gpu_layers=17),
    "wsl2": Expected(FLAGSHIP, context=(4096, 8192), memory=GIB, advice="-DGGML_CUDA=on"),
    # Apple: weights mapped and used in place by Metal; MLX comes with its own test below.
    "mac-m2": Expected(FLAGSHIP, "Q4_K_M", (2048, 4096), 1400 * MIB, gpu_layers=17, mmap=True, advice="edgelfm[mlx]"),
    "mac-m4-max": Expected(FLAGSHIP, "Q8_0", (16384, 16384), gpu_layers=17, mmap=True, advice="edgelfm[mlx]"),
    "mac-m4-max-mlx": Expected(FLAGSHIP, "Q8_0", (16384, 16384), gpu_layers=17, mmap=True, advice="mlx is installed"),
    # Servers, and containers on them: the limit counts, not the machine.
    "epyc-server": Expected(FLAGSHIP, threads=16, advice="avx512"),
    "container-v1": Expected(FLAGSHIP, context=(1024, 2048), memory=1100 * MIB, threads=2),
    "container-512mb": Expected(SMALLEST, context=(1024, 2048), memory=308 * MIB, threads=1),
}


@pytest.fixture(scope="module")
def on_machine(entries: tuple[ModelEntry, ...]) -> Callable[..., Plan]:
    def build(host: Host, *, drivable: frozenset[str] = frozenset({"llama.cpp"}), **asked: object) -> Plan:
        request = Request(**asked)  # type: ignore[arg-type]
        return plan(host, profiles.match(host), entries, request, drivable=drivable)

    return build


def test_every_recorded_machine_has_an_expected_plan(machine_names: list[str]) -> None:
    assert set(machine_names) == set(MACHINES)


def test_the_plan_is_the_one_an_expert_would_make(
    machine_name: str, machine_host: Callable[[str], Host], on_machine: Callable[..., Plan]
) -> None:
    expected, made = MACHINES[machine_name], on_machine(machine_host(machine_name))
    if expected.advice:
        assert any(expected.advice in line for line in made.advice), made.advice
    chosen = made.chosen
    if not expected.model:
        assert chosen is None
        assert made.rejected[0].fix == expected.fix
        return
    assert chosen is not None
    assert (chosen.model.id, chosen.quantization, chosen.backend) == (
        expected.model,
        expected.quantization,
        expected.backend,
    )
    settings = chosen.settings
    assert expected.context[0] <= settings.context.value <= expected.context[1]
    assert settings.gpu_layers.value == expected.gpu_layers
    assert settings.mmap.value is expected.mmap
    assert expected.threads in (None, settings.threads.value)
    assert settings.kv_type.value == "f16"
    assert chosen.memory.total <= expected.memory
    assert chosen.memory.on("host") <= made.budget.usable_bytes <= made.host.memory.available_bytes
    assert not chosen.model.thinking


def test_orin_nano_counts_its_memory_once(machine_host: Callable[[str], Host], on_machine: Callable[..., Plan]) -> None:
    host = machine_host("jetson-orin-nano-8gb")
    made = on_machine(host)
    assert made.budget.gpu_bytes is None
    assert made.budget.usable_bytes == host.memory.available_bytes - made.budget.reserve_bytes
    assert made.chosen is not None
    assert made.chosen.memory.on("gpu") == 0
    assert made.chosen.memory.part("weights") > 700 * MIB, "on the GPU, and still part of main memory"
    assert "counted once" in made.chosen.settings.gpu_layers.reason


def test_a_card_has_memory_of_its_own(machine_host: Callable[[str], Host], on_machine: Callable[..., Plan]) -> None:
    made = on_machine(machine_host("rtx4090-desktop"))
    assert made.chosen is not None
    assert made.budget.gpu_bytes is not None
    assert 20 * GIB < made.budget.gpu_bytes < 23 * GIB
    assert made.chosen.memory.on("gpu") > GIB
    assert made.chosen.memory.on("host") < 300 * MIB


def test_a_card_writes_at_the_bandwidth_of_its_own_memory(
    machine_host: Callable[[str], Host], on_machine: Callable[..., Plan]
) -> None:
    chosen = on_machine(machine_host("rtx4090-desktop")).chosen
    assert chosen is not None
    assert chosen.decode.grade == "estimated"
    assert "1.01 TB/s of the NVIDIA GeForce RTX 4090 (384 bits at 10501 MHz)" in chosen.decode.reason
    assert chosen.decode.reason.endswith("of GPUs, runs that others published came to 0.29 to 0.85 of that")
    assert chosen.decode.low is not None
    assert chosen.decode.high is not None
    assert 80 < chosen.decode.low < chosen.decode.high < 1008e9 / chosen.memory.part("weights")


def test_a_full_card_lends_no_bandwidth_to_what_stays_in_main_memory(
    machine_host: Callable[[str], Host], on_machine: Callable[..., Plan]
) -> None:
    host = machine_host("rtx4090-desktop")
    full = replace(host.gpus[0], memory_available_bytes=600 * MIB)
    host = replace(host, gpus=(full,), bandwidth=Bandwidth(60e9, "measured"))
    chosen = on_machine(host).chosen
    assert chosen is not None
    assert chosen.settings.gpu_layers.value == 0
    assert chosen.decode.reason.endswith("60 GB/s of read bandwidth, measured here")


def test_the_512_mb_container_says_why_it_is_the_smallest(
    machine_host: Callable[[str], Host], on_machine: Callable[..., Plan]
) -> None:
    made = on_machine(machine_host("container-512mb"))
    assert made.chosen is not None
    assert "LFM2.5-1.2B-Instruct: needs" in made.chosen.reason
    assert "512 MiB" in made.budget.reason
    bigger = next(one for one in made.rejected if one.model == FLAGSHIP)
    assert bigger.fix.startswith("raise the memory limit of the container")


def test_the_small_pi_says_how_slow_the_flagship_would_be(
    machine_host: Callable[[str], Host], on_machine: Callable[..., Plan]
) -> None:
    made = on_machine(machine_host("pi4-2gb"))
    assert made.chosen is not None
    assert "LFM2.5-1.2B-Instruct would give about 3.7" in made.chosen.reason


def test_a_model_beside_a_gpu_that_has_no_room_for_it_reads_as_the_cores_do(
    machine_host: Callable[[str], Host], on_machine: Callable[..., Plan]
) -> None:
    host = replace(machine_host("jetson-orin-nano-8gb"), bandwidth=Bandwidth(40e9, "measured"))
    chosen = on_machine(host, task="reason").chosen
    assert chosen is not None
    assert chosen.settings.gpu_layers.value == 0
    assert "40 GB/s of read bandwidth, measured here" in chosen.decode.reason
    assert on_machine(host).candidates[0].decode.reason.count("102 GB/s expected of unified memory") == 1


def test_what_a_missing_runtime_would_do_is_told_of_the_gpu_that_it_would_come_with(
    machine_host: Callable[[str], Host], on_machine: Callable[..., Plan]
) -> None:
    for name, backend, on_gpu in (
        ("mac-m2", "llama.cpp", True),
        ("wsl2", "transformers", True),
        ("wsl2", "onnx", False),
    ):
        host = machine_host(name)
        bare = replace(host, runtimes=tuple(replace(one, installed=False, build=()) for one in host.runtimes))
        bare = replace(bare, gpus=tuple(replace(one, memory_bandwidth_bytes_per_second=3e11) for one in bare.gpus))
        made = on_machine(bare, drivable=frozenset({"llama.cpp", "transformers", "onnx"}))
        (told,) = (one for one in made.rejected if one.backend == backend)
        assert ("tokens/s on the GPU (estimated)" in told.reason) is on_gpu, told.reason


BOTH = frozenset({"llama.cpp", "mlx"})


def test_the_m4_prefers_mlx_where_it_is_installed(
    machine_host: Callable[[str], Host], on_machine: Callable[..., Plan]
) -> None:
    made = on_machine(machine_host("mac-m4-max-mlx"), drivable=BOTH)
    assert made.chosen is not None
    assert (made.chosen.model.id, made.chosen.backend, made.chosen.quantization) == (FLAGSHIP, "mlx", "8bit")
    assert made.chosen.settings.gpu_layers.value == 17
    assert made.candidates[1].backend == "llama.cpp"


@pytest.mark.parametrize("name", ["mac-m2", "mac-m4-max"])
def test_a_mac_says_what_to_install_where_mlx_is_missing(
    name: str, machine_host: Callable[[str], Host], on_machine: Callable[..., Plan]
) -> None:
    made = on_machine(machine_host(name), drivable=BOTH)
    assert made.chosen is not None
    assert made.chosen.backend == "llama.cpp"
    assert any(line.startswith("pip install 'edgelfm[mlx]'") and "unknown" in line for line in made.advice)
    assert any(one.backend == "mlx" and one.fix == "pip install 'edgelfm[mlx]'" for one in made.rejected)


def test_published_speeds_of_the_machine_are_told_as_theirs(
    machine_host: Callable[[str], Host], on_machine: Callable[..., Plan]
) -> None:
    chosen = on_machine(machine_host("ryzen-ai-9-hx370")).chosen
    assert chosen is not None
    published = next(one for one in chosen.references if one.quantization == "Q4_0")
    assert published.decode == 116
    assert published.source
    assert chosen.decode.low is not None
    assert chosen.decode.high is not None
    assert chosen.decode.low < published.decode < chosen.decode.high, "the range holds what others measured"


@pytest.mark.parametrize("task", ["agent", "extract", "rag", "tools", "reason", "vision", "complete", "translate"])
def test_every_task_stays_within_every_machine(
    task: str, machine_names: list[str], machine_host: Callable[[str], Host], on_machine: Callable[..., Plan]
) -> None:
    for name in machine_names:
        made = on_machine(machine_host(name), task=task)
        assert made.candidates or made.rejected, name
        for one in made.candidates:
            assert one.memory.on("host") <= made.budget.usable_bytes, name
            assert task in one.model.tasks
