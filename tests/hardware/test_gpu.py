"""Graphics processors: whose memory they use, and why one cannot be used."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgelfm.hardware.gpu import metal_working_set, read_gpus
from edgelfm.hardware.host import Board, Cpu, Gpu, Memory
from edgelfm.hardware.machine import Machine, NvidiaDevice
from edgelfm.hardware.nvidia import memory_bandwidth, parse_query

Build = Callable[..., Machine]
GIB = 1024**3
MIB = 1024**2
MEMORY = Memory(total_bytes=16 * GIB, available_bytes=10 * GIB)
SMI = "nvidia-smi --query-gpu=name,driver_version,compute_cap,memory.total,memory.free --format=csv,noheader,nounits"


def gpus(machine: Machine, board: Board | None = None, cpu: Cpu | None = None) -> tuple[Gpu, ...]:
    return read_gpus(machine, cpu or Cpu(), MEMORY, board or Board())


@pytest.mark.parametrize(
    ("line", "total", "capability"),
    [
        ("NVIDIA GeForce RTX 4090, 570.1, 8.9, 24564, 23812", 24564 * MIB, "8.9"),
        ("Orin (nvgpu), 540.4.0, [N/A], [N/A], [N/A]", None, ""),
        ("NVIDIA GB10, 580.82, 12.1, [N/A], [N/A]", None, "12.1"),
        ("Odd, named, card, 1, 8.6, 4096, 4000", 4096 * MIB, "8.6"),
    ],
)
def test_nvidia_smi(line: str, total: int | None, capability: str) -> None:
    (device,) = parse_query(line + "\n\n")
    assert (device.memory_total, device.compute_capability) == (total, capability)


def test_no_memory_of_its_own_means_unified(build_machine: Build) -> None:
    (gpu,) = gpus(build_machine(nvml=[{"name": "NVIDIA GB10", "driver": "580.82", "compute_capability": "12.1"}]))
    assert gpu.unified
    assert (gpu.memory_total_bytes, gpu.memory_available_bytes) == (16 * GIB, 10 * GIB)
    assert gpu.reason.startswith("NVML; no memory of its own")


def test_nvml_goes_before_nvidia_smi(build_machine: Build) -> None:
    device = {"name": "A", "memory_total": 8 * GIB, "memory_free": 7 * GIB}
    found = gpus(build_machine(nvml=[device], commands={SMI: "B, 1, 8.0, 1, 1\n"}))
    assert [(gpu.name, gpu.unified, gpu.memory_available_bytes) for gpu in found] == [("A", False, 7 * GIB)]


# Width and highest memory clock as the driver reports them, and GB/s of the data sheet.
@pytest.mark.parametrize(
    ("bits", "mhz", "published"),
    [
        pytest.param(384, 10501, 1008, id="RTX 4090, GDDR6X"),
        pytest.param(384, 9751, 936, id="RTX 3090, GDDR6X"),
        pytest.param(5120, 1215, 1555, id="A100 40GB, HBM2"),
        pytest.param(7680, 3996, 7672, id="B200, HBM3E"),
    ],
)
def test_bandwidth_of_a_card_is_that_of_its_data_sheet(bits: int, mhz: int, published: int) -> None:
    found = memory_bandwidth(NvidiaDevice("card", memory_bus_bits=bits, memory_clock_mhz=mhz))
    assert found == pytest.approx(published * 1e9, rel=1e-3)


@pytest.mark.parametrize(("bits", "mhz"), [(None, None), (384, None), (None, 10501), (0, 10501), (384, 0)])
def test_half_an_answer_gives_no_bandwidth(build_machine: Build, bits: int | None, mhz: int | None) -> None:
    device = {"name": "A", "memory_total": 8 * GIB, "memory_bus_bits": bits, "memory_clock_mhz": mhz}
    (gpu,) = gpus(build_machine(nvml=[device]))
    assert (gpu.memory_bandwidth_bytes_per_second, gpu.memory_bandwidth_reason) == (None, "NVML does not tell")


@pytest.mark.parametrize(
    ("packages", "reason"),
    [
        ({}, "nvidia-smi does not tell; to ask NVML: pip install nvidia-ml-py"),
        ({"nvidia-ml-py": "12.575.51"}, "nvidia-smi does not tell"),
    ],
)
def test_nvidia_smi_knows_no_bandwidth(build_machine: Build, packages: dict[str, str], reason: str) -> None:
    (gpu,) = gpus(build_machine(commands={SMI: "B, 1, 8.0, 8192, 8000\n"}, packages=packages))
    assert (gpu.memory_bandwidth_bytes_per_second, gpu.memory_bandwidth_reason) == (None, reason)


def test_a_gpu_in_main_memory_has_no_bandwidth_of_its_own(build_machine: Build) -> None:
    (gpu,) = gpus(build_machine(nvml=[{"name": "NVIDIA GB10", "memory_bus_bits": 256, "memory_clock_mhz": 4266}]))
    assert gpu.unified
    assert (gpu.memory_bandwidth_bytes_per_second, gpu.memory_bandwidth_reason) == (None, "")


def test_a_driver_that_fails_is_remembered(build_machine: Build) -> None:
    values = {"class": "0x030000", "vendor": "0x10de", "device": "0x2684", "uevent": "DRIVER=nouveau"}
    card = {f"/sys/bus/pci/devices/0000_01_00.0/{name}": f"{text}\n" for name, text in values.items()}
    message = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
    machine = build_machine(card, commands={SMI: f"# exit 9\n{message}\n"})
    (gpu,) = gpus(machine)
    assert (gpu.name, gpu.usable, gpu.reason) == ("PCI 10de:2684", False, "the driver nouveau cannot compute")
    assert machine.refusals["nvidia-smi"] == message


@pytest.mark.parametrize(
    ("files", "denied", "usable", "words"),
    [
        ({"/dev/nvhost-gpu": ""}, [], True, "shares main memory"),
        ({"/dev/nvhost-gpu": ""}, ["/dev/nvhost-gpu"], False, "usermod -aG video"),
        ({}, [], False, "--runtime nvidia"),
    ],
)
def test_a_jetson_without_nvidia_smi(
    build_machine: Build, files: dict[str, str], denied: list[str], usable: bool, words: str
) -> None:
    (gpu,) = gpus(build_machine(files, denied=denied), Board(family="jetson", soc="tegra234"))
    assert (gpu.usable, gpu.compute_capability, gpu.unified) == (usable, "8.7", True)
    assert words in gpu.reason


def amd(identity: str, vram: int, gtt: int) -> dict[str, str]:
    device = "/sys/class/drm/card0/device"
    return {
        f"{device}/uevent": f"DRIVER=amdgpu\nPCI_ID=1002:{identity}\n", f"{device}/drm/renderD128/dev": "226:128\n",
        f"{device}/mem_info_vram_total": str(vram), f"{device}/mem_info_vram_used": str(vram // 4),
        f"{device}/mem_info_gtt_total": str(gtt), f"{device}/mem_info_gtt_used": "0",
    }  # fmt: skip


def test_an_apu_has_its_carve_out_and_gtt(build_machine: Build) -> None:
    cpu = Cpu(model="AMD RYZEN AI MAX+ 395 w/ Radeon 8060S")
    (gpu,) = gpus(build_machine({**amd("1586", 4 * GIB, 12 * GIB), "/dev/dri/renderD128": ""}), cpu=cpu)
    assert (gpu.name, gpu.unified) == ("Radeon 8060S (Strix Halo)", True)
    assert gpu.memory_total_bytes == 16 * GIB
    assert gpu.memory_available_bytes == 3 * GIB + 10 * GIB  # GTT pages come out of what is available


def test_a_discrete_amd_card_has_its_own_memory(build_machine: Build) -> None:
    (gpu,) = gpus(build_machine({**amd("744C", 24 * GIB, 12 * GIB), "/dev/dri/renderD128": ""}))
    assert (gpu.unified, gpu.memory_total_bytes, gpu.memory_available_bytes) == (False, 24 * GIB, 18 * GIB)


@pytest.mark.parametrize(
    ("files", "denied", "words"),
    [({"/dev/dri/renderD128": ""}, ["/dev/dri/renderD128"], "usermod -aG render"), ({}, [], "--device /dev/dri")],
)
def test_a_render_node_one_cannot_open(
    build_machine: Build, files: dict[str, str], denied: list[str], words: str
) -> None:
    (gpu,) = gpus(build_machine({**amd("1586", GIB, GIB), **files}, denied=denied))
    assert not gpu.usable
    assert words in gpu.reason


def test_connectors_and_display_drivers_are_no_gpus(build_machine: Build) -> None:
    files = {
        "/sys/class/drm/card0/device/uevent": "DRIVER=vc4-drm\n",
        "/sys/class/drm/card1-HDMI-A-1/device/uevent": "DRIVER=i915\n",
    }
    assert gpus(build_machine(files)) == ()


def test_intel_arc_is_not_processor_graphics(build_machine: Build) -> None:
    uevent = "DRIVER=xe\nPCI_ID=8086:E20B\nPCI_SLOT_NAME=0000:03:00.0\n"
    (gpu,) = gpus(build_machine({"/sys/class/drm/card0/device/uevent": uevent}))
    assert (gpu.unified, gpu.memory_total_bytes, gpu.usable) == (False, None, False)


# Values of recommendedMaxWorkingSetSize as Metal reported them, in llama.cpp's logs.
@pytest.mark.parametrize(("memory", "working_set"), [(8, 5461.3), (16, 10922.7), (24, 16384), (36, 27648), (64, 49152)])
def test_metal_working_set(memory: int, working_set: float) -> None:
    assert metal_working_set(memory * GIB) / MIB == pytest.approx(working_set, abs=1)
