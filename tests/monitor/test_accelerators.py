"""GPUs through a driver that answers as NVML does, through the files of Jetson and AMD, and Intel's NPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgelfm.monitor.gpus import Gpus
from edgelfm.monitor.npus import NpuShare
from edgelfm.monitor.reading import GpuReading

GIB = 1024**3


class Driver:
    """`pynvml` for one card. What is None is not supported."""

    class NVMLError(Exception):
        """As in pynvml."""

    def __init__(self, **told: Any) -> None:
        self.told = {
            "name": b"NVIDIA RTX",
            "busy": 40,
            "used": 6 * GIB,
            "total": 8 * GIB,
            "celsius": 61,
            "power": 95_500,
        }
        self.told |= told
        self.open = 0

    def _answer(self, key: str) -> Any:
        if not self.open or self.told[key] is None:
            raise self.NVMLError("Not Supported")
        return self.told[key]

    def nvmlInit(self) -> None:
        if self.told.get("broken"):
            raise self.NVMLError("Driver Not Loaded")
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, handle: int) -> Any:
        return self._answer("name")

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        return SimpleNamespace(gpu=self._answer("busy"), memory=3)

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return SimpleNamespace(used=self._answer("used"), total=self._answer("total"), free=0)

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> Any:
        return self._answer("celsius")

    def nvmlDeviceGetPowerUsage(self, handle: int) -> Any:
        return self._answer("power")


def test_a_card(machine: Callable[[str], Path]) -> None:
    gpus = Gpus(machine("nothing"), Driver())
    assert gpus.read() == (GpuReading("NVIDIA RTX", 0.4, 6 * GIB, 8 * GIB, 61.0, 95.5),)


def test_the_driver_is_let_go_once_and_for_all(machine: Callable[[str], Path]) -> None:
    driver = Driver()
    gpus = Gpus(machine("nothing"), driver)
    gpus.close()
    gpus.close()
    assert driver.open == 0
    assert gpus.read() == ()


def test_a_driver_that_is_not_loaded(machine: Callable[[str], Path]) -> None:
    assert Gpus(machine("nothing"), Driver(broken=True)).read() == ()


def test_a_card_that_shares_main_memory_says_so_by_silence(machine: Callable[[str], Path]) -> None:
    driver = Driver(name="NVIDIA GB10", used=None, power=None)
    assert Gpus(machine("nothing"), driver).read() == (GpuReading("NVIDIA GB10", 0.4, None, None, 61.0, None),)


@pytest.mark.parametrize(
    "path",
    [
        "sys/devices/platform/gpu.0/load",
        "sys/devices/gpu.0/load",
        "sys/devices/platform/17000000.gpu/load",
        "sys/devices/platform/bus@0/17000000.gpu/load",
        "sys/class/devfreq/gpu-gpc-0/device/load",
    ],
)
def test_the_load_of_a_jetson(tree: Callable[..., Path], path: str) -> None:
    gpus = Gpus(tree({path: 735}))
    assert gpus.read() == (GpuReading("Jetson GPU", 0.735),)
    tree({path: "?"})
    assert gpus.read() == ()


def test_a_jetson_whose_driver_lists_the_gpu_without_its_load(tree: Callable[..., Path]) -> None:
    root = tree({"sys/devices/platform/gpu.0/load": 500})
    driver = Driver(name="Orin (nvgpu)", busy=None, used=None, celsius=None, power=None)
    assert Gpus(root, driver).read() == (GpuReading("Orin (nvgpu)", 0.5),)


def test_an_amd_card(tree: Callable[..., Path]) -> None:
    card = "sys/class/drm/card1/device"
    root = tree({
        f"{card}/gpu_busy_percent": 87, f"{card}/mem_info_vram_used": 3 * GIB, f"{card}/mem_info_vram_total": 8 * GIB,
        f"{card}/hwmon/hwmon4/power1_average": 42_000_000, f"{card}/hwmon/hwmon4/temp1_input": 66_000,
        "sys/class/drm/card0/device/vendor": "0x8086",
    })  # fmt: skip
    assert Gpus(root).read() == (GpuReading("AMD GPU 1", 0.87, 3 * GIB, 8 * GIB, 66.0, 42.0),)


def test_an_npu_by_its_busy_time(tree: Callable[..., Path]) -> None:
    path = "sys/class/accel/accel0/device/npu_busy_time_us"
    npu = NpuShare(tree({path: 1_000_000}))
    assert npu.read(10.0) is None
    tree({path: 1_500_000})
    assert npu.read(12.0) == 0.25
    tree({path: 0})
    assert npu.read(13.0) is None


def test_an_npu_that_shows_nothing_is_unknown(machine: Callable[[str], Path]) -> None:
    assert NpuShare(machine("nothing")).read(1.0) is None
