"""A `Host` as a table for terminals. What is missing is shown with the command that gets it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..units import format_bytes, format_rate
from .host import Cpu, Gpu, Host, Memory, Npu, Runtime

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

Line = tuple[str, str, str]  # section, text, style of the text


def host_table(host: Host) -> Table:
    """Two columns: what is described, and the description."""
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    last = ""
    for section, text, style in host_lines(host):
        table.add_row(section if section != last else "", _styled(text, style))
        last = section
    return table


def host_lines(host: Host) -> Iterator[Line]:
    """The same as plain lines: section, text and style (empty, green, yellow, red or dim)."""
    name = host.board.name or "an unnamed machine"
    yield "machine", " · ".join(filter(None, (name, host.board.soc, host.board.firmware))), ""
    yield "system", _system(host), ""
    for text in _cpu(host.cpu):
        yield "cpu", text, ""
    for text in _memory(host.memory):
        yield "memory", text, ""
    speed = host.bandwidth
    if speed.bytes_per_second:
        yield "bandwidth", f"{speed.bytes_per_second / 1e9:.1f} GB/s, {speed.grade}: {speed.reason}", ""
    else:
        yield "bandwidth", f"unknown: {speed.reason}", "dim"
    for gpu in host.gpus:
        yield "gpu", _gpu(gpu), "" if gpu.usable else "yellow"
        if gpu.memory_bandwidth_bytes_per_second is None and gpu.memory_bandwidth_reason:
            yield "gpu", f"  memory bandwidth unknown: {gpu.memory_bandwidth_reason}", "dim"
    for npu in host.npus:
        yield "npu", _npu(npu), "" if npu.usable else "yellow"
    for runtime in host.runtimes:
        yield from _runtime(runtime)
    disk = host.disk
    if disk.free_bytes is not None and disk.total_bytes is not None:
        yield "disk", f"{format_bytes(disk.free_bytes)} of {format_bytes(disk.total_bytes)} free at {disk.path}", ""
    for remark in host.remarks:
        yield "remarks", f"{remark.probe}: {remark.reason}", "dim"


def _system(host: Host) -> str:
    os = host.os
    parts = [os.distribution or os.system, os.release, f"Python {os.python}" if os.python else ""]
    parts += [f"in a {os.container} container" if os.container else "", f"WSL {os.wsl}" if os.wsl else ""]
    return " · ".join(filter(None, parts))


def _cpu(cpu: Cpu) -> Iterator[str]:
    yield " · ".join(filter(None, (cpu.model or cpu.vendor or "unknown", cpu.architecture)))
    cores = f"{cpu.physical_cores} cores" if cpu.physical_cores else f"{cpu.logical_cores} hardware threads"
    if cpu.physical_cores and cpu.logical_cores != cpu.physical_cores:
        cores += f", {cpu.logical_cores} hardware threads"
    if cpu.performance_cores and cpu.performance_cores != cpu.physical_cores:
        cores += f", {cpu.performance_cores} of the cores fast"
    if cpu.quota is not None:
        cores += f", time of {cpu.quota:g} granted by cgroups"
    if cpu.max_hz:
        cores += f", up to {cpu.max_hz / 1e9:.1f} GHz"
    yield f"{cores}; {cpu.usable_cores} usable"
    if cpu.features:
        yield " ".join(cpu.features)


def _memory(memory: Memory) -> Iterator[str]:
    yield f"{format_bytes(memory.available_bytes)} available of {format_bytes(memory.total_bytes)}"
    if memory.limit_bytes is not None:
        yield f"limited to {format_bytes(memory.limit_bytes)} by {memory.limit_source}"
    swap = [f"{format_bytes(memory.swap_bytes)} swap on disk"] if memory.swap_bytes else []
    swap += [f"{format_bytes(memory.zram_bytes)} zram (adds no room)"] if memory.zram_bytes else []
    if swap:
        yield ", ".join(swap)
    if memory.pressure_some_avg10:
        yield f"pressure: tasks waited for memory {memory.pressure_some_avg10:g} % of the last 10 s"


def _gpu(gpu: Gpu) -> str:
    size = format_bytes(gpu.memory_total_bytes) if gpu.memory_total_bytes else ""
    size += " of main memory" if size and gpu.unified else ""
    capability = f"compute {gpu.compute_capability}" if gpu.compute_capability else ""
    speed = gpu.memory_bandwidth_bytes_per_second
    rate = f"{format_rate(speed)} expected" if speed else ""
    text = " · ".join(filter(None, (gpu.name, size, rate, capability, gpu.driver)))
    if not gpu.usable:
        return f"{text}: not usable, {gpu.reason}"
    return f"{text} ({gpu.reason})" if gpu.reason else text


def _npu(npu: Npu) -> str:
    text = " · ".join(filter(None, (npu.name, npu.device, npu.driver)))
    return f"{text}: usable {npu.reason}" if npu.usable else f"{text}: not usable, {npu.reason}"


def _runtime(runtime: Runtime) -> Iterator[Line]:
    if runtime.installed:
        text = f"{runtime.name} {runtime.version}".strip()
        yield "runtimes", f"{text}: {runtime.reason}" if runtime.reason else text, "red" if runtime.reason else "green"
        if runtime.build:
            yield "runtimes", f"  built with {' '.join(runtime.build)}", "dim"
        if runtime.advice:
            yield "runtimes", f"  {runtime.advice}", "yellow"
    elif runtime.install:
        yield "runtimes", f"{runtime.name}: not installed; {runtime.install}", "dim"


def _styled(text: str, style: str) -> Text:
    from rich.text import Text

    return Text(text, style=style)
