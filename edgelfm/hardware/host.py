"""The facts about one machine, frozen. Nothing here probes and nothing here decides.

All sizes are bytes, all frequencies hertz, all rates per second. A value that could not be read is `None`, and
`Host.remarks` says which probe could not read it and why.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from ..decision import Grade

SCHEMA = 1  # of the JSON form; a file with another number is refused

System = Literal["linux", "darwin", "windows", "unknown"]
Architecture = Literal["x86_64", "arm64", "armv7", "unknown"]


@dataclass(frozen=True, slots=True)
class OperatingSystem:
    """What runs on the metal, and what stands between it and us."""

    system: System = "unknown"
    release: str = ""  # kernel or build
    distribution: str = ""  # "Debian GNU/Linux 12 (bookworm)", "macOS 15.1"
    container: str | None = None  # "docker", "podman", "kubernetes", "lxc", or None on the metal
    wsl: int | None = None  # 1 or 2 under the Windows Subsystem for Linux
    python: str = ""  # version of the running interpreter
    boot_id: str = ""  # changes at every boot; empty where unknown


@dataclass(frozen=True, slots=True)
class Cpu:
    """The processor as this process may use it."""

    vendor: str = ""
    model: str = ""
    architecture: Architecture = "unknown"
    logical_cores: int = 1  # hardware threads in the machine
    physical_cores: int | None = None
    performance_cores: int | None = None  # the fast cluster of a big.LITTLE or P/E design; all physical cores elsewhere
    affinity: int | None = None  # hardware threads this process may be scheduled on
    quota: float | None = None  # cores' worth of time granted by cgroups, None if unlimited
    max_hz: int | None = None
    # Sorted, our names: avx avx2 avx512f avx512_vnni avx_vnni avx512_bf16 amx_int8 f16c fma, and on Arm
    # neon dotprod i8mm sve sve2 sme bf16 fp16
    features: tuple[str, ...] = ()

    @property
    def usable_cores(self) -> int:
        """Cores worth giving to a compute thread: fast physical cores within affinity and quota, at least 1."""
        cores = self.performance_cores or self.physical_cores or self.logical_cores
        if self.affinity is not None:
            cores = min(cores, self.affinity)
        if self.quota is not None:
            cores = min(cores, int(self.quota))
        return max(1, cores)


@dataclass(frozen=True, slots=True)
class Memory:
    """Main memory. `available_bytes` is what this process can really take now, every limit considered."""

    total_bytes: int = 0
    available_bytes: int = 0
    limit_bytes: int | None = None  # the tightest cgroup limit below `total_bytes`, if any
    limit_source: str = ""  # "cgroup v2 /system.slice/app", "cgroup v1 /docker/…"
    swap_bytes: int = 0  # on disk
    zram_bytes: int = 0  # compressed swap in memory: costs memory, adds no room
    page_size: int = 4096
    pressure_some_avg10: float | None = None  # PSI, percent


@dataclass(frozen=True, slots=True)
class Board:
    """The product this is, where it can be known."""

    family: str = "generic"  # raspberry-pi, jetson, rk3588, rk3576, mac, snapdragon, generic
    name: str = ""  # "Raspberry Pi 5 Model B Rev 1.0", "NVIDIA Jetson Orin Nano Engineering Reference…"
    compatible: tuple[str, ...] = ()  # device-tree compatible strings, most specific first
    soc: str = ""  # "bcm2712", "tegra234", "rk3588", "Apple M4 Max"
    firmware: str = ""  # L4T release, DMI product version


@dataclass(frozen=True, slots=True)
class Gpu:
    """One graphics processor."""

    vendor: str  # nvidia, amd, intel, apple, qualcomm, arm
    name: str
    unified: bool = False  # shares main memory: its bytes are the host's bytes, counted once
    memory_total_bytes: int | None = None  # own memory, or the part of main memory it may use
    memory_available_bytes: int | None = None
    driver: str = ""
    compute_capability: str = ""  # CUDA only, "8.7"
    usable: bool = False  # a driver answers
    reason: str = ""  # why not usable, or how it was recognised
    memory_bandwidth_bytes_per_second: float | None = None  # peak of its own memory; None where that is main memory
    memory_bandwidth_reason: str = ""  # what it was reckoned from, or how to learn it


@dataclass(frozen=True, slots=True)
class Npu:
    """One neural processor. Present is not usable."""

    vendor: str  # amd, intel, qualcomm, rockchip, hailo, apple
    name: str
    device: str = ""  # "/dev/accel/accel0"
    driver: str = ""
    usable: bool = False
    reason: str = ""  # what is missing: permission, runtime library, driver


@dataclass(frozen=True, slots=True)
class Runtime:
    """One software package that can run a model, as installed here."""

    name: str  # llama.cpp, transformers, onnx, mlx, ollama
    package: str  # the distribution on PyPI or the program
    installed: bool = False
    version: str = ""
    build: tuple[str, ...] = ()  # what it was compiled with: "AVX512_VNNI", "CUDA", execution providers
    reason: str = ""  # why it cannot be used although installed
    install: str = ""  # the exact command that would install it
    advice: str = ""  # what this build leaves unused here, and the command that would use it


@dataclass(frozen=True, slots=True)
class Disk:
    """Room where model files are kept."""

    path: str = ""
    total_bytes: int | None = None
    free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """How fast main memory can be read by all usable cores."""

    bytes_per_second: float | None = None
    grade: Grade = "unknown"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Remark:
    """A probe that could not answer, and why."""

    probe: str
    reason: str


@dataclass(frozen=True, slots=True)
class Host:
    """One machine, as `edgelfm.inspect()` sees it or as read from a JSON file."""

    os: OperatingSystem = field(default_factory=OperatingSystem)
    cpu: Cpu = field(default_factory=Cpu)
    memory: Memory = field(default_factory=Memory)
    board: Board = field(default_factory=Board)
    gpus: tuple[Gpu, ...] = ()
    npus: tuple[Npu, ...] = ()
    runtimes: tuple[Runtime, ...] = ()
    disk: Disk = field(default_factory=Disk)
    bandwidth: Bandwidth = field(default_factory=Bandwidth)
    remarks: tuple[Remark, ...] = ()

    def runtime(self, name: str) -> Runtime | None:
        """The runtime of that name, whether installed or not, or None if it was not looked for."""
        return next((runtime for runtime in self.runtimes if runtime.name == name), None)

    def to_json(self) -> str:
        """This host as JSON text, readable by `Host.from_json` and by `edgelfm plan --host FILE`."""
        from .codec import dump

        return dump(self)

    @classmethod
    def from_json(cls, text: str, *, source: str = "host description") -> Host:
        """Read what `to_json` wrote. Raises `HostFileError` naming `source` and the wrong field."""
        from .codec import load

        return load(text, source=source)

    def __rich__(self) -> Any:
        """A table for terminals."""
        from .show import host_table

        return host_table(self)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .html import host_bundle

        return host_bundle(self)
