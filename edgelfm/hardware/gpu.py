"""Graphics processors, whose memory they use, and whether a driver answers.

A GPU that shares main memory is marked `unified`: its bytes are the host's bytes and are to be counted once.
"""

from __future__ import annotations

from .drm import drm_gpus
from .host import Board, Cpu, Gpu, Memory
from .machine import Machine
from .macos import sysctl, sysctl_int
from .nvidia import nvidia_gpus
from .system import system_of
from .windows import display_adapters

MIB = 1024**2
GIB = 1024**3


def read_gpus(machine: Machine, cpu: Cpu, memory: Memory, board: Board) -> tuple[Gpu, ...]:
    """All graphics processors of a machine."""
    system = system_of(machine.facts)
    if system == "darwin":
        return _apple(machine, cpu, memory)
    nvidia = nvidia_gpus(machine, board, memory)
    if system == "windows":
        return (*nvidia, *_windows(machine, memory))
    return (*nvidia, *drm_gpus(machine, cpu, memory))


def metal_working_set(total: int) -> int:
    """Bytes Metal recommends as the most a process keeps on the GPU (`recommendedMaxWorkingSetSize`).

    Apple publishes no formula. llama.cpp's logs show two thirds of memory up to 32 GiB (8 GiB: 5.33, 24: 16) and three
    quarters from 36 GiB on (36: 27, 64: 48).
    """
    return total * 2 // 3 if total <= 32 * GIB else total * 3 // 4


def _apple(machine: Machine, cpu: Cpu, memory: Memory) -> tuple[Gpu, ...]:
    if cpu.architecture != "arm64":
        return ()
    wired = sysctl_int(sysctl(machine), "iogpu.wired_limit_mb")  # 0 leaves it to the system
    total = wired * MIB if wired else metal_working_set(memory.total_bytes)
    recommended = "Metal's recommended working set, estimated from memory"
    gpu = Gpu(
        vendor="apple",
        name=f"{cpu.model} GPU",
        unified=True,
        memory_total_bytes=total,
        memory_available_bytes=min(total, memory.available_bytes),
        driver="Metal",
        usable=True,
        reason=f"set by iogpu.wired_limit_mb={wired}" if wired else recommended,
    )
    return (gpu,)


_WINDOWS_VENDORS = (
    ("adreno", "qualcomm"), ("qualcomm", "qualcomm"), ("radeon", "amd"), ("amd", "amd"), ("intel", "intel"),
)  # fmt: skip


def _windows(machine: Machine, memory: Memory) -> tuple[Gpu, ...]:
    """Adapters other than NVIDIA's. WDDM lends those without memory of their own up to half of main memory."""
    gpus = []
    half = memory.total_bytes // 2
    for name in display_adapters(machine):
        vendor = next((vendor for word, vendor in _WINDOWS_VENDORS if word in name.lower()), None)
        if vendor is not None:
            shared = vendor == "qualcomm" or (vendor == "intel" and "arc(tm) a" not in name.lower())
            total, free = (half, min(half, memory.available_bytes)) if shared else (None, None)
            gpus.append(Gpu(vendor, name, shared, total, free, "WDDM", usable=True, reason="listed by Windows"))
    return tuple(gpus)
