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
_BINDING = "nvidia-ml-py"  # the distribution with NVML's Python binding, pynvml
_TEGRA_NODES = ("/dev/nvidia0", "/dev/nvgpu/igpu0/power", "/dev/nvhost-gpu")


def nvidia_gpus(machine: Machine, board: Board, memory: Memory) -> tuple[Gpu, ...]:
    """GPUs that NVIDIA's driver drives, or that are there without it."""
    devices, source = machine.nvidia_devices(), "NVML"
    if devices is None:
        devices, source = _ask_program(machine), "nvidia-smi"
    if devices:
        install = source == "nvidia-smi" and machine.package(_BINDING) is None
        return tuple(_gpu(device, board, memory, source, install) for device in devices)
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


def memory_bandwidth(device: NvidiaDevice) -> float | None:
    """Peak bytes per second of the device's own memory, None where the driver gave no width or no clock.

    Width in bytes times clock times 2. The 2 holds for every kind of memory: for HBM the reported clock is the real
    one and data moves on both its edges, and for GDDR the driver reports half the transfers per second, whatever the
    real clock is. An RTX 3090 (GDDR6X, 384 bits, 9751 MHz) comes to 936 GB/s, an A100 40GB (HBM2, 5120 bits, 1215 MHz)
    to 1555 GB/s, as NVIDIA's data sheets have it. Sources:
    https://forums.developer.nvidia.com/t/rtx-3090-a100-memory-frequency/198730 and, for a B200 (HBM3E, 7680 bits,
    3996 MHz, 7.67 TB/s), https://github.com/pytorch/ao/pull/4002.
    """
    if not device.memory_bus_bits or not device.memory_clock_mhz:
        return None
    return device.memory_bus_bits / 8 * device.memory_clock_mhz * 1e6 * 2


def _gpu(device: NvidiaDevice, board: Board, memory: Memory, source: str, install: bool) -> Gpu:
    unified = device.memory_total is None
    bandwidth = None if unified else memory_bandwidth(device)
    if unified:
        bandwidth_reason = ""
    elif bandwidth is not None:
        bandwidth_reason = f"{device.memory_bus_bits} bits at {device.memory_clock_mhz} MHz"
    else:
        bandwidth_reason = f"{source} does not tell" + (f"; to ask NVML: pip install {_BINDING}" if install else "")
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
        memory_bandwidth_bytes_per_second=bandwidth,
        memory_bandwidth_reason=bandwidth_reason,
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
