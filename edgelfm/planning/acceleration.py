"""Which GPU an installed runtime can use here, and what is missing where it can use none.

A wheel is compiled for one kind of GPU or for none, so a GPU that is present and healthy is still idle under a CPU
build. This module reads facts about the host; it knows nothing about models and sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..hardware.host import Gpu, Host
from ..units import MIB, format_bytes

#: Compute interfaces of llama.cpp that drive each vendor's GPUs, as its `GGML_<NAME>` build options spell them; the one
#: that is easiest to come by first. Mali and VideoCore are left out: the CPU beside them is faster than their Vulkan.
INTERFACES = {
    "nvidia": ("CUDA", "VULKAN"),
    "amd": ("VULKAN", "HIP"),
    "intel": ("VULKAN", "SYCL"),
    "apple": ("METAL",),
    "qualcomm": ("OPENCL",),
}
#: What other runtimes drive a vendor's GPUs with, as `Runtime.build` names it.
OTHERS: dict[str, dict[str, tuple[str, ...]]] = {
    "transformers": {"nvidia": ("CUDA",), "amd": ("HIP",), "intel": ("XPU",), "apple": ("MPS",)},
    "onnx": {"nvidia": ("CUDAExecutionProvider",)},
}
#: Other names that the libraries give themselves.
ALIASES = {"HIP": ("HIP", "ROCM"), "METAL": ("METAL", "MTL")}
#: Memory of a discrete GPU left to the display and the driver. An allowance, not a measurement.
HEADROOM = 512 * MIB


@dataclass(frozen=True, slots=True)
class Acceleration:
    """The GPU that a runtime would use, or None with the reason; and the advice that would change that."""

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


def acceleration(host: Host, backend: str = "llama.cpp") -> Acceleration:
    """Choose the GPU with the most memory among those that the installed build can drive."""
    runtime = host.runtime(backend)
    installed = runtime is not None and runtime.installed
    build = {
        word.upper() for word in (runtime.build if runtime is not None and installed else ready_made(host, backend))
    }
    interfaces = OTHERS.get(backend, INTERFACES)
    drivable = [
        (gpu, interface)
        for gpu in host.gpus
        if gpu.usable
        for interface in interfaces.get(gpu.vendor, ())
        if build.intersection(name.upper() for name in ALIASES.get(interface, (interface,)))
    ]
    if drivable:
        gpu, interface = max(drivable, key=lambda pair: (not pair[0].unified, pair[0].memory_total_bytes or 0))
        is_built = "is" if installed else "would come"
        return Acceleration(gpu, interface, f"{backend} {is_built} built with {interface} for the {gpu.name}")
    if backend in OTHERS:
        return Acceleration(None, "", f"the installed {backend} drives no GPU of this machine")
    idle = [gpu for gpu in host.gpus if gpu.usable and gpu.vendor in INTERFACES]
    if idle:
        gpu = max(idle, key=lambda one: (not one.unified, one.memory_total_bytes or 0))
        if build:
            reason = f"llama.cpp is built without support for the {gpu.name}"
            return Acceleration(None, "", reason, _advice(host, gpu, rebuild=True))
        # Where nothing is installed yet, the plain wheel comes first; only a card of its own is worth a build at once.
        first_step = "" if gpu.unified and gpu.vendor != "nvidia" else _advice(host, gpu, rebuild=False)
        return Acceleration(None, "", "llama.cpp is not installed", first_step)
    if host.gpus:
        gpu = host.gpus[0]
        return Acceleration(None, "", f"the {gpu.name} cannot be used: {gpu.reason or 'no driver answers'}")
    return Acceleration(None, "", "no GPU was found")


def ready_made(host: Host, backend: str) -> tuple[str, ...]:
    """What drives a GPU in the runtime that plain `pip install` would bring here.

    llama.cpp turns Metal on wherever it is compiled on a Mac (GGML_METAL in ggml/CMakeLists.txt). The wheels of torch
    on PyPI have MPS for macOS, CUDA for Linux on x86-64, and nothing for Windows and Linux on Arm.
    """
    if host.os.system == "darwin":
        return {"llama.cpp": ("METAL",), "transformers": ("MPS",)}.get(backend, ())
    on_linux = host.os.system == "linux" and host.cpu.architecture == "x86_64"
    return ("CUDA",) if backend == "transformers" and on_linux else ()


def build_command(host: Host, interface: str, *, rebuild: bool) -> str:
    """What to type to get llama-cpp-python compiled for `interface`, from scratch or over the one that is there."""
    pip = "pip install 'edgelfm[llama]'"
    if rebuild:
        pip = "pip install --force-reinstall --no-cache-dir --no-deps --no-binary llama-cpp-python llama-cpp-python"
    options = f"-DGGML_NATIVE=on -DGGML_{interface}=on"
    if host.os.system == "windows":
        return f"$env:CMAKE_ARGS='{options}'; {pip}"
    return f"CMAKE_ARGS='{options}' {pip}"


def _advice(host: Host, gpu: Gpu, *, rebuild: bool) -> str:
    command = build_command(host, INTERFACES[gpu.vendor][0], rebuild=rebuild)
    if gpu.unified:
        gain = "prefill may gain, decode is bound by the same memory; how much is unknown until it is measured"
    else:
        room = gpu.memory_available_bytes or gpu.memory_total_bytes
        size = f"its {format_bytes(room)} " if room else "its memory "
        gain = f"{size}would hold the whole model; the gain is unknown until it is measured"
    return f"the {gpu.name} stands idle: {command} ({gain})"
