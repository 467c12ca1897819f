"""Neural processors: which are present, and whether anything could use them or exactly what is missing.

Usable needs three things: a device node, permission to open it, and a runtime library that a language model can be
given to. Whether a model has been compiled for it is for the planner to know, not for this module.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .drm import parse_uevent
from .host import Board, Cpu, Npu
from .machine import Machine
from .system import system_of
from .windows import accelerators


@dataclass(frozen=True, slots=True)
class Kind:
    """One family of neural processors and what it takes to run a language model on it. Any one runtime is enough."""

    vendor: str
    name: str
    packages: tuple[str, ...] = ()  # distributions on PyPI
    programs: tuple[str, ...] = ()
    library: str = ""  # file name, may hold a wildcard
    group: str = "render"  # owns the device node
    get: str = ""  # how to get a runtime


_LIBRARIES = ("/usr/lib", "/usr/local/lib", "/usr/lib/*")
AMD = Kind("amd", "AMD XDNA", ("onnxruntime-vitisai",), ("flm",), get="install FastFlowLM (program flm)")
INTEL = Kind("intel", "Intel AI Boost", ("openvino", "onnxruntime-openvino"), get="pip install openvino-genai")
QUALCOMM = Kind(
    "qualcomm", "Qualcomm Hexagon", ("onnxruntime-qnn", "geniex"), library="libQnnHtp.so",
    get="pip install onnxruntime-qnn",
)  # fmt: skip
ROCKCHIP = Kind(
    "rockchip", "Rockchip NPU", library="librkllmrt.so", get="copy librkllmrt.so of Rockchip's rknn-llm to /usr/lib"
)
HAILO = Kind(
    "hailo", "Hailo", ("hailort",), ("hailortcli",), "libhailort.so*", group="hailo", get="sudo apt install hailo-all"
)
APPLE = Kind("apple", "Apple Neural Engine")

_ACCEL_DRIVERS = {"amdxdna": AMD, "intel_vpu": INTEL, "rocket": ROCKCHIP}
# PCI ids of NPUs, from the kernel's drivers (amdxdna: aie2; ivpu: ivpu_drv.h), for machines whose kernel has none.
_PCI = {
    ("0x1022", "0x1502"): AMD, ("0x1022", "0x17f0"): AMD,
    ("0x8086", "0x7d1d"): INTEL, ("0x8086", "0x643e"): INTEL, ("0x8086", "0xad1d"): INTEL, ("0x8086", "0xb03e"): INTEL,
}  # fmt: skip
_NEEDS_KERNEL = {"amd": "amdxdna (Linux 6.14 or newer)", "intel": "intel_vpu (Linux 6.3 or newer)"}
_WINDOWS_WORDS = (("hexagon", QUALCOMM), ("qualcomm", QUALCOMM), ("intel", INTEL), ("amd", AMD), ("npu compute", AMD))


def read_npus(machine: Machine, cpu: Cpu, board: Board) -> tuple[Npu, ...]:
    """All neural processors of a machine."""
    system = system_of(machine.facts)
    if system == "darwin":
        return _apple(cpu)
    if system == "windows":
        return _windows(machine)
    found = [*_accel(machine), *_rockchip(machine, board), *_hailo(machine)]
    # Some kernels add fastrpc-cdsp-secure, a second way to the same processor.
    found += [_npu(machine, QUALCOMM, node, "fastrpc") for node in machine.glob("/dev/fastrpc-cdsp*")[:1]]
    return tuple(found) or tuple(_without_driver(machine))


def _accel(machine: Machine) -> list[Npu]:
    npus = []
    for folder in machine.glob("/sys/class/accel/accel*"):
        driver = parse_uevent(machine.read(f"{folder}/device/uevent") or "").get("DRIVER", "")
        kind = _ACCEL_DRIVERS.get(driver)
        if kind is not None:
            npus.append(_npu(machine, kind, f"/dev/accel/{folder.rpartition('/')[2]}", driver))
    # The open driver for Rockchip registers one node for each core of one NPU.
    rockets = [npu for npu in npus if npu.driver == "rocket"]
    return [npu for npu in npus if npu.driver != "rocket"] + rockets[:1]


def _rockchip(machine: Machine, board: Board) -> list[Npu]:
    if board.family not in ("rk3588", "rk3576"):
        return []
    for node in ("/dev/rknpu", "/dev/dri/by-path/platform-fdab0000.npu-render"):
        if machine.exists(node):
            return [_npu(machine, ROCKCHIP, node, "rknpu")]
    return []


def _hailo(machine: Machine) -> list[Npu]:
    nodes = machine.glob("/dev/hailo[0-9]*")
    chips = [identity[1] for _, identity in _pci(machine) if identity[0] == "0x1e60"] if nodes else []
    npus = []
    for node in nodes:
        npu = _npu(machine, HAILO, node, "hailo_pci")
        if chips == ["0x2864"]:
            reason = "a Hailo-8 has no memory of its own and runs no language models; a Hailo-10H does"
            npu = replace(npu, name="Hailo-8", usable=False, reason=reason)
        npus.append(npu)
    return npus


def _npu(machine: Machine, kind: Kind, node: str, driver: str) -> Npu:
    access = machine.access(node)
    runtime = runtime_for(machine, kind)
    if access == "absent":
        reason = f"{node} is missing: pass --device {node} to the container"
    elif access == "denied":
        reason = f"no permission for {node}: sudo usermod -aG {kind.group} $USER, then log in again"
    elif driver == "rocket":
        reason = "the open driver rocket runs no language models: use Rockchip's vendor kernel"
        runtime = None
    elif runtime is None:
        reason = f"no runtime library for it: {kind.get}"
    else:
        reason = f"through {runtime}"
    return Npu(kind.vendor, kind.name, node, driver, access == "granted" and runtime is not None, reason)


def runtime_for(machine: Machine, kind: Kind) -> str | None:
    """The first runtime for this kind that is installed."""
    for package in kind.packages:
        version = machine.package(package)
        if version is not None:
            return f"{package} {version}"
    for program in kind.programs:
        if machine.program(program):
            return program
    for folder in _LIBRARIES if kind.library else ():
        if found := machine.glob(f"{folder}/{kind.library}"):
            return found[0]
    return None


def _without_driver(machine: Machine) -> list[Npu]:
    npus = []
    for category, identity in _pci(machine):
        kind = _PCI.get(identity) if category.startswith(("0x1180", "0x1200")) else None
        if kind is not None:
            reason = f"no driver: it needs {_NEEDS_KERNEL[kind.vendor]}"
            npus.append(Npu(kind.vendor, kind.name, reason=reason))
    return npus


def _pci(machine: Machine) -> list[tuple[str, tuple[str, str]]]:
    """Class, and vendor with device, of everything on the PCI bus."""
    devices = []
    for folder in machine.glob("/sys/bus/pci/devices/*"):
        category, vendor, device = (
            (machine.read(f"{folder}/{name}") or "").strip() for name in ("class", "vendor", "device")
        )
        devices.append((category, (vendor, device)))
    return devices


def _apple(cpu: Cpu) -> tuple[Npu, ...]:
    if cpu.architecture != "arm64":
        return ()
    reason = "reached only through Core ML; no runtime that edgelfm knows runs a language model on it"
    return (Npu("apple", APPLE.name, driver="Core ML", reason=reason),)


def _windows(machine: Machine) -> tuple[Npu, ...]:
    npus = []
    for name in accelerators(machine):
        kind = next((kind for word, kind in _WINDOWS_WORDS if word in name.lower()), None)
        if kind is not None:
            runtime = runtime_for(machine, kind)
            reason = f"through {runtime}" if runtime else f"no runtime library for it: {kind.get}"
            npus.append(Npu(kind.vendor, name, driver="MCDM", usable=runtime is not None, reason=reason))
    return tuple(npus)
