"""What macOS answers to `sysctl` and `vm_stat`: text to mappings. What the numbers mean is the readers' business."""

from __future__ import annotations

import re

from .machine import Machine, parse_int


def sysctl(machine: Machine) -> dict[str, str]:
    """The `hw` and `machdep.cpu` values and, on Apple silicon, the memory limit set for the GPU."""
    values: dict[str, str] = {}
    for command in (("sysctl", "hw", "machdep.cpu"), ("sysctl", "iogpu.wired_limit_mb")):
        output = machine.run(*command)
        values |= parse_sysctl(output.text) if output else {}
    return values


def sysctl_int(values: dict[str, str], name: str) -> int | None:
    """One value as a number."""
    return parse_int(values.get(name, ""))


def parse_sysctl(text: str) -> dict[str, str]:
    """`hw.memsize: 8589934592` lines as a mapping."""
    pairs = (line.split(": ", 1) for line in text.splitlines() if ": " in line)
    return {name.strip(): value.strip() for name, value in pairs}


def parse_vm_stat(text: str) -> dict[str, int]:
    """Bytes by kind of page, `free`, `inactive` and so on, from `vm_stat`."""
    size = re.search(r"page size of (\d{1,7}) bytes", text)
    page = int(size[1]) if size else 4096
    pages = re.findall(r'^"?Pages ([a-z -]+?)"?:\s+(\d{1,18})\.?\s*$', text, re.MULTILINE | re.ASCII)
    return {kind: int(count) * page for kind, count in pages}


def parse_swapusage(text: str) -> int:
    """Bytes of swap from `vm.swapusage: total = 2048.00M  used = ...`."""
    match = re.search(r"total = (\d{1,12}(?:\.\d+)?)M", text, re.ASCII)
    return round(float(match[1]) * 1024**2) if match else 0
