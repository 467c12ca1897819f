"""Which GPU the installed llama.cpp can use here, and what is missing where it can use none.

A wheel is compiled for one kind of GPU or for none, so a GPU that is present and healthy is still idle under a CPU
build. This module reads facts about the host; it knows nothing about models and sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..hardware.host import Gpu, Host
from ..units import GIB, MIB, format_bytes

#: Compute interfaces of llama.cpp that drive each vendor's GPUs, best first, as `GGML_<NAME>` build options spell them.
#: Mali and VideoCore are left out: their Vulkan drivers are slower than the CPU beside them.
INTERFACES = {
    "nvidia": ("CUDA", "VULKAN"),
    "amd": ("HIP", "VULKAN"),
    "intel": ("SYCL", "VULKAN"),
    "apple": ("METAL",),
    "qualcomm": ("OPENCL",),
}
#: What build reports call the same interface.
ALIASES = {"HIP": ("HIP", "ROCM"), "METAL": ("METAL", "MTL")}
#: Memory of a discrete GPU left to the display and the driver. An allowance, not a measurement.
HEADROOM = 512 * MIB


@dataclass(frozen=True, slots=True)
class Acceleration:
    """The GPU that llama.cpp would use, or None with the reason; and the advice that would change that."""

    gpu: Gpu | None
    interface: str = ""  # CUDA, METAL, …
    reason: str = ""
    advice: str = ""  # how to make use of a GPU that stands idle, empty if there is nothing to gain

    @property
    def discrete(self) -> bool:
        """Whether the GPU has memory of its own."""
        return self.gpu is not None and not self.gpu.unified

    @property
    def own_bytes(self) -> int | None:
        """Bytes of the GPU's own memory a model may take; None where it has none of its own."""
        if self.gpu is None or self.gpu.unified:
            return None
        known = self.gpu.memory_available_bytes
        if known is None:
            known = self.gpu.memory_total_bytes or 0
        return max(0, known - HEADROOM)

    @property
    def shared_bytes(self) -> int | None:
        """The part of main memory a unified GPU may take, where its driver sets a limit."""
        if self.gpu is None or not self.gpu.unified:
            return None
        return self.gpu.memory_available_bytes or self.gpu.memory_total_bytes


def acceleration(host: Host) -> Acceleration:
    """Choose the GPU with the most memory among those that the installed build can drive."""
    runtime = host.runtime("llama.cpp")
    build = {word.upper() for word in runtime.build} if runtime is not None and runtime.installed else set()
    drivable = [
        (gpu, interface)
        for gpu in host.gpus
        if gpu.usable
        for interface in INTERFACES.get(gpu.vendor, ())
        if any(name in word for name in ALIASES.get(interface, (interface,)) for word in build)
    ]
    if drivable:
        gpu, interface = max(drivable, key=lambda pair: (not pair[0].unified, pair[0].memory_total_bytes or 0))
        return Acceleration(gpu, interface, f"llama.cpp is built with {interface} for the {gpu.name}")
    idle = [gpu for gpu in host.gpus if gpu.usable and gpu.vendor in INTERFACES]
    if idle:
        gpu = max(idle, key=lambda one: (not one.unified, one.memory_total_bytes or 0))
        return Acceleration(None, "", f"llama.cpp is built without support for the {gpu.name}", _advice(host, gpu))
    if host.gpus:
        gpu = host.gpus[0]
        return Acceleration(None, "", f"the {gpu.name} cannot be used: {gpu.reason or 'no driver answers'}")
    return Acceleration(None, "", "no GPU was found")


def build_command(host: Host, interface: str) -> str:
    """What to type to install llama-cpp-python compiled for `interface`."""
    pip = "pip install --force-reinstall --no-cache-dir --no-binary llama-cpp-python llama-cpp-python"
    if host.os.system == "windows":
        return f'$env:CMAKE_ARGS="-DGGML_{interface}=on"; {pip}'
    return f'CMAKE_ARGS="-DGGML_{interface}=on" {pip}'


def _advice(host: Host, gpu: Gpu) -> str:
    interface = INTERFACES[gpu.vendor][0]
    command = build_command(host, interface)
    if gpu.unified:
        gain = "prefill gains most, decode is bound by the same memory; how much is unknown until it is measured"
    else:
        room = gpu.memory_available_bytes or gpu.memory_total_bytes
        size = f"its {format_bytes(room)} " if room and room >= GIB else "its memory "
        gain = f"{size}would hold the whole model; the gain is unknown until it is measured"
    return f"the {gpu.name} stands idle: {command} ({gain})"
