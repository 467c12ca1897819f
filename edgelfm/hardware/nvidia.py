"""CUDA devices: by NVML where its Python binding is installed, else by nvidia-smi, else by the files of a Jetson.

On Jetson boards, GB10 and other chips where the GPU shares main memory the driver reports no memory size; that is how
they are recognised, not by a list of names.
"""

from __future__ import annotations

from .host import Board, Gpu, Memory
from .machine import Machine, NvidiaDevice, parse_int

MIB = 1024**2

_QUERY = "--query-gpu=name,driver_version,compute_cap,memory.total,memory.free"
# Under WSL the program is mounted here, and not always on the search path.
_PROGRAMS = ("nvidia-smi", "/usr/lib/wsl/lib/nvidia-smi")
# Compute capability of each Tegra generation, from NVIDIA's list of CUDA GPUs.
_TEGRA = {"tegra210": "5.3", "tegra186": "6.2", "tegra194": "7.2", "tegra234": "8.7", "tegra264": "11.0"}
_TEGRA_NODES = ("/dev/nvidia0", "/dev/nvgpu/igpu0/power", "/dev/nvhost-gpu")


def nvidia_gpus(machine: Machine, board: Board, memory: Memory) -> tuple[Gpu, ...]:
    """GPUs that NVIDIA's driver drives, or that are there without it."""
    devices, source = machine.nvidia_devices(), "NVML"
    if devices is None:
        devices, source = _ask_program(machine), "nvidia-smi"
    if devices:
        return tuple(_gpu(device, board, memory, source) for device in devices)
    if board.soc in _TEGRA:
        return (_tegra(machine, board, memory),)
    return _without_driver(machine)


def parse_query(text: str) -> tuple[NvidiaDevice, ...]:
    """Lines of `nvidia-smi --query-gpu=... --format=csv,noheader,nounits`. Memory in MiB, or `[N/A]`."""
    devices = []
    for line in text.splitlines():
        columns = [column.strip() for column in line.rsplit(",", 4)]
        if len(columns) == 5 and columns[0]:
            total, free = (None if size is None else size * MIB for size in map(parse_int, columns[3:]))
            capability = columns[2] if columns[2].replace(".", "").isdigit() else ""
            devices.append(NvidiaDevice(columns[0], columns[1], capability, total, free))
    return tuple(devices)


def _ask_program(machine: Machine) -> tuple[NvidiaDevice, ...]:
    for program in _PROGRAMS:
        output = machine.run(program, _QUERY, "--format=csv,noheader,nounits", timeout=5.0)
        if output is not None:
            if output.status == 0:
                return parse_query(output.text)
            lines = (output.text.strip() or output.error).splitlines()
            machine.refusals[program] = lines[0] if lines else f"exit status {output.status}"
    return ()


def _gpu(device: NvidiaDevice, board: Board, memory: Memory, source: str) -> Gpu:
    unified = device.memory_total is None
    return Gpu(
        vendor="nvidia",
        name=device.name,
        unified=unified,
        memory_total_bytes=memory.total_bytes if unified else device.memory_total,
        memory_available_bytes=memory.available_bytes if unified else device.memory_free,
        driver=device.driver,
        compute_capability=device.compute_capability or _TEGRA.get(board.soc, ""),
        usable=True,
        reason=f"{source}; no memory of its own, shares main memory" if unified else source,
    )


def _tegra(machine: Machine, board: Board, memory: Memory) -> Gpu:
    """A Jetson whose system has no nvidia-smi, as with JetPack 5 and before."""
    access = {node: machine.access(node) for node in _TEGRA_NODES}
    usable = "granted" in access.values()
    denied = next((node for node, answer in access.items() if answer == "denied"), None)
    if usable:
        reason = f"recognised by {board.soc}; shares main memory"
    elif denied:
        reason = f"no permission for {denied}: sudo usermod -aG video,render $USER, then log in again"
    else:
        reason = "no GPU device node: start the container with --runtime nvidia"
    return Gpu(
        vendor="nvidia",
        name=f"{board.soc} GPU",
        unified=True,
        memory_total_bytes=memory.total_bytes,
        memory_available_bytes=memory.available_bytes,
        driver=board.firmware,
        compute_capability=_TEGRA[board.soc],
        usable=usable,
        reason=reason,
    )


def _without_driver(machine: Machine) -> tuple[Gpu, ...]:
    """NVIDIA cards on the PCI bus for which no driver answers."""
    gpus = []
    for folder in machine.glob("/sys/bus/pci/devices/*"):
        kind = (machine.read(f"{folder}/class") or "").strip()
        if kind[:6] in ("0x0300", "0x0302") and (machine.read(f"{folder}/vendor") or "").strip() == "0x10de":
            identity = (machine.read(f"{folder}/device") or "").strip()
            driver = _driver(machine, folder)
            reason = f"the driver {driver} cannot compute" if driver == "nouveau" else "NVIDIA's driver does not answer"
            gpus.append(Gpu("nvidia", f"PCI 10de:{identity.removeprefix('0x')}", driver=driver, reason=reason))
    return tuple(gpus)


def _driver(machine: Machine, folder: str) -> str:
    lines = (machine.read(f"{folder}/uevent") or "").splitlines()
    return next((line.removeprefix("DRIVER=") for line in lines if line.startswith("DRIVER=")), "")
