"""How busy, full, hot and hungry are the GPUs? NVIDIA's driver through NVML, a Jetson's and AMD's by their files.

Intel's and Arm's drivers show none of it to ordinary users, so those GPUs are not listed, though there may be one.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from .files import ROOT, find, read_int, read_text
from .reading import GpuReading

_DRIVER = "/proc/driver/nvidia/version"  # there once NVIDIA's module is loaded
# Where kernels of JetPack 4 to 6 show the load of the GPU, in thousandths.
_JETSON = (
    "/sys/devices/platform/gpu.0/load",
    "/sys/devices/gpu.0/load",
    "/sys/devices/platform/*.gpu/load",
    "/sys/devices/platform/bus@0/*.gpu/load",
    "/sys/class/devfreq/*gpu*/device/load",
)


class Gpus:
    """The GPUs of a machine, looked for once and read many times. `close` lets NVIDIA's driver go.

    `nvml` is the module `pynvml`; left out, it is imported where NVIDIA's driver is loaded.
    """

    def __init__(self, root: Path = ROOT, nvml: Any = None) -> None:
        self._root = root
        self._nvml = nvml if nvml is not None else _import_nvml(root)
        self._handles: list[tuple[str, Any]] = []
        if self._nvml is not None:
            self._open()
        self._jetson_load = next((path for pattern in _JETSON for path in find(root, pattern)), None)
        self._amd = [
            partial(
                _amd,
                root,
                device,
                power=next(iter(find(root, f"{device}/hwmon/hwmon*/power1_average")), None),
                heat=next(iter(find(root, f"{device}/hwmon/hwmon*/temp1_input")), None),
            )
            for device in find(root, "/sys/class/drm/card[0-9]*/device")
            if read_int(root, f"{device}/mem_info_vram_total") is not None  # only the driver amdgpu has it
        ]

    def read(self) -> tuple[GpuReading, ...]:
        """All of them, empty where none tells of itself."""
        return (*self._nvidia(), *(read() for read in self._amd))

    def close(self) -> None:
        """Let go. Nothing is read from NVIDIA's driver afterwards."""
        nvml, self._nvml, self._handles = self._nvml, None, []
        if nvml is not None:
            with contextlib.suppress(nvml.NVMLError):
                nvml.nvmlShutdown()

    def _open(self) -> None:
        nvml = self._nvml
        try:
            nvml.nvmlInit()
        except nvml.NVMLError:
            self._nvml = None
            return
        try:
            for place in range(nvml.nvmlDeviceGetCount()):
                handle = nvml.nvmlDeviceGetHandleByIndex(place)
                name = nvml.nvmlDeviceGetName(handle)
                self._handles.append((name.decode("utf-8", "replace") if isinstance(name, bytes) else name, handle))
        except nvml.NVMLError:
            self.close()

    def _nvidia(self) -> Iterator[GpuReading]:
        load = read_int(self._root, self._jetson_load) if self._jetson_load else None
        busy = None if load is None else min(1.0, max(0.0, load / 1000))
        for name, handle in self._handles:
            told = self._ask(name, handle)
            # From JetPack 6 on NVML lists the GPU of a Jetson, and knows nothing of its load.
            yield told if told.busy is not None else replace(told, busy=busy)
        if not self._handles and busy is not None:
            yield GpuReading("Jetson GPU", busy)

    def _ask(self, name: str, handle: Any) -> GpuReading:
        nvml = self._nvml

        def ask(function: str, *rest: Any) -> Any:
            # NOT_SUPPORTED is how the driver says that this GPU has no such thing; a GPU may also be lost meanwhile.
            try:
                return getattr(nvml, function)(handle, *rest)
            except (nvml.NVMLError, AttributeError):
                return None

        busy, memory = ask("nvmlDeviceGetUtilizationRates"), ask("nvmlDeviceGetMemoryInfo")
        celsius = ask("nvmlDeviceGetTemperature", 0)  # NVML_TEMPERATURE_GPU
        milliwatts = ask("nvmlDeviceGetPowerUsage")
        return GpuReading(
            name,
            None if busy is None else busy.gpu / 100,
            None if memory is None else int(memory.used),
            None if memory is None else int(memory.total),
            None if celsius is None else float(celsius),
            None if milliwatts is None else milliwatts / 1000,
        )


def _import_nvml(root: Path) -> Any:
    if root != ROOT or read_text(root, _DRIVER) is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an old package of the same name warns that it is old
            import pynvml
    except ImportError:
        return None
    return pynvml


def _amd(root: Path, device: str, *, power: str | None, heat: str | None) -> GpuReading:
    """See the kernel's Documentation/gpu/amdgpu/thermal.rst and driver-misc.rst."""
    percent = read_int(root, f"{device}/gpu_busy_percent")
    microwatts = read_int(root, power) if power else None
    thousandths = read_int(root, heat) if heat else None
    number = re.findall(r"card(\d+)", device)[-1]
    return GpuReading(
        f"AMD GPU {number}",
        None if percent is None else min(1.0, max(0.0, percent / 100)),
        read_int(root, f"{device}/mem_info_vram_used"),
        read_int(root, f"{device}/mem_info_vram_total"),
        None if thousandths is None else thousandths / 1000,
        None if microwatts is None else microwatts / 1e6,
    )
