"""The processor as this process may use it: who made it, how many cores, which SIMD features."""

from __future__ import annotations

import re

from .arm_cores import describe_arm
from .cgroups import Limits
from .cpu_features import WINDOWS_NUMBERS, linux_features, macos_features, windows_features
from .cpu_topology import read_topology
from .host import Architecture, Cpu
from .machine import Machine, parse_int
from .macos import sysctl, sysctl_int
from .system import architecture_of, system_of
from .windows import processor_values

_VENDORS = {"GenuineIntel": "Intel", "AuthenticAMD": "AMD", "Qualcomm Technologies Inc": "Qualcomm"}


def read_cpu(machine: Machine, limits: Limits) -> Cpu:
    """The processor of a machine. `limits` are those of the cgroups this process is in."""
    architecture = architecture_of(machine.facts)
    system = system_of(machine.facts)
    if system == "darwin":
        return _macos(machine, architecture)
    if system == "windows":
        return _windows(machine, architecture)
    return _linux(machine, architecture, limits)


def parse_cpuinfo(text: str) -> list[dict[str, str]]:
    """One mapping for each processor in /proc/cpuinfo. Trailing blocks about the board are left out."""
    blocks = []
    for paragraph in text.split("\n\n"):
        pairs = (line.split(":", 1) for line in paragraph.splitlines() if ":" in line)
        block = {name.strip(): value.strip() for name, value in pairs}
        if "processor" in block:
            blocks.append(block)
    return blocks


def count_cores(blocks: list[dict[str, str]]) -> int | None:
    """Physical cores by /proc/cpuinfo alone: cores a package times packages. None on Arm, which does not say."""
    packages = {block.get("physical id", "0"): parse_int(block.get("cpu cores", "")) for block in blocks}
    return sum(cores for cores in packages.values() if cores and cores > 0) or None


def _linux(machine: Machine, architecture: Architecture, limits: Limits) -> Cpu:
    blocks = parse_cpuinfo(machine.read("/proc/cpuinfo") or "")
    affinity = machine.facts.affinity
    topology = read_topology(machine, affinity)
    if architecture == "x86_64":
        first = blocks[0] if blocks else {}
        vendor, model = first.get("vendor_id", ""), " ".join(first.get("model name", "").split())
        words = [set(block.get("flags", "").split()) for block in blocks]
    else:
        vendor, model = describe_arm(blocks)
        words = [set(block.get("Features", "").split()) for block in blocks]
    physical = topology.physical or count_cores(blocks)
    return Cpu(
        vendor=_VENDORS.get(vendor, vendor),
        model=model,
        architecture=architecture,
        logical_cores=topology.logical or machine.facts.logical_cores or len(blocks) or 1,
        physical_cores=physical,
        performance_cores=topology.performance or physical,
        affinity=len(affinity) if affinity is not None else None,
        quota=limits.cpu_quota,
        max_hz=topology.max_hz,
        # A thread may run on any core, so only what all of them have can be used.
        features=linux_features(set.intersection(*words) if words else (), architecture),
    )


def _macos(machine: Machine, architecture: Architecture) -> Cpu:
    values = sysctl(machine)
    physical = sysctl_int(values, "hw.physicalcpu")
    return Cpu(
        vendor="Apple" if architecture == "arm64" else "Intel",
        model=values.get("machdep.cpu.brand_string", ""),
        architecture=architecture,
        logical_cores=sysctl_int(values, "hw.logicalcpu") or machine.facts.logical_cores or 1,
        physical_cores=physical,
        performance_cores=sysctl_int(values, "hw.perflevel0.physicalcpu") or physical,
        max_hz=sysctl_int(values, "hw.cpufrequency_max"),
        features=macos_features(values, architecture),
    )


def _windows(machine: Machine, architecture: Architecture) -> Cpu:
    values = processor_values(machine)
    counters = machine.counters()
    physical = counters.physical_cores if counters else None
    megahertz = values.get("~MHz", "")
    vendor = values.get("VendorIdentifier", "")
    return Cpu(
        vendor=_VENDORS.get(vendor, vendor),
        model=" ".join(values.get("ProcessorNameString", "").split()),
        architecture=architecture,
        logical_cores=machine.facts.logical_cores or 1,
        physical_cores=physical,
        performance_cores=physical,
        affinity=len(machine.facts.affinity) if machine.facts.affinity is not None else None,
        max_hz=int(megahertz, 16) * 10**6 if re.fullmatch("0x[0-9a-fA-F]{1,8}", megahertz) else None,
        features=windows_features(machine.processor_features(WINDOWS_NUMBERS), architecture),
    )
