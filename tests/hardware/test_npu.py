"""Neural processors: present is not usable, and the reason says what is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edgelfm.hardware.host import Board, Cpu, Npu
from edgelfm.hardware.machine import Machine
from edgelfm.hardware.npu import read_npus

Build = Callable[..., Machine]
CDSP = {"/dev/fastrpc-cdsp": ""}


def accel(driver: str, count: int = 1) -> dict[str, str]:
    files = {f"/sys/class/accel/accel{n}/device/uevent": f"DRIVER={driver}\n" for n in range(count)}
    return files | {f"/dev/accel/accel{n}": "" for n in range(count)}


def pci(vendor: str, device: str, category: str = "0x118000") -> dict[str, str]:
    folder = "/sys/bus/pci/devices/0000_c4_00.1"
    return {f"{folder}/class": category, f"{folder}/vendor": vendor, f"{folder}/device": device}


def npus(machine: Machine, family: str = "generic") -> tuple[Npu, ...]:
    return read_npus(machine, Cpu(), Board(family=family))


@pytest.mark.parametrize(
    ("files", "facts", "family", "vendor", "usable", "words"),
    [
        (accel("amdxdna"), {}, "generic", "amd", False, "no runtime library"),
        (accel("amdxdna"), {"programs": {"flm": "/opt/flm"}}, "generic", "amd", True, "through flm"),
        (accel("amdxdna"), {"denied": ["/dev/accel/accel0"]}, "generic", "amd", False, "usermod -aG render"),
        (accel("intel_vpu"), {"packages": {"openvino": "2025.3"}}, "generic", "intel", True, "openvino 2025.3"),
        (accel("intel_vpu"), {}, "generic", "intel", False, "pip install openvino-genai"),
        (accel("rocket", 3), {}, "rk3588", "rockchip", False, "vendor kernel"),
        ({"/dev/rknpu": "", "/usr/lib/librkllmrt.so": ""}, {}, "rk3576", "rockchip", True, "/usr/lib/librkllmrt.so"),
        ({"/dev/rknpu": ""}, {}, "rk3588", "rockchip", False, "librkllmrt.so"),
        ({"/dev/hailo0": ""}, {"packages": {"hailort": "5.1"}}, "raspberry-pi", "hailo", True, "hailort 5.1"),
        ({"/dev/hailo0": ""} | pci("0x1e60", "0x2864", "0x120000"), {"packages": {"hailort": "4.20"}}, "raspberry-pi",
         "hailo", False, "Hailo-8"),
        (CDSP | {"/dev/fastrpc-cdsp-secure": ""}, {}, "snapdragon", "qualcomm", False, "onnxruntime-qnn"),
        (CDSP, {"denied": ["/dev/fastrpc-cdsp"]}, "snapdragon", "qualcomm", False, "no permission"),
        (pci("0x1022", "0x17f0"), {}, "generic", "amd", False, "Linux 6.14"),
        (pci("0x8086", "0x7d1d", "0x120000"), {}, "generic", "intel", False, "no driver"),
    ],
)  # fmt: skip
def test_what_is_missing(
    build_machine: Build,
    files: dict[str, str],
    facts: dict[str, Any],
    family: str,
    vendor: str,
    usable: bool,
    words: str,
) -> None:
    (npu,) = npus(build_machine(files, **facts), family)
    assert (npu.vendor, npu.usable) == (vendor, usable)
    assert words in npu.reason


def test_a_container_that_was_not_given_the_device(build_machine: Build) -> None:
    (npu,) = npus(build_machine({"/sys/class/accel/accel0/device/uevent": "DRIVER=intel_vpu\n"}))
    assert "--device /dev/accel/accel0" in npu.reason


@pytest.mark.parametrize(
    "files", [accel("habanalabs"), pci("0x1022", "0x9999"), pci("0x1022", "0x17f0", "0x020000"), {}]
)
def test_other_devices_are_no_npus(build_machine: Build, files: dict[str, str]) -> None:
    assert npus(build_machine(files)) == ()
