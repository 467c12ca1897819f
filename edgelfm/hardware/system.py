"""Which operating system this is, and what stands between it and the metal: a container, WSL."""

from __future__ import annotations

import re

from .host import Architecture, OperatingSystem, System
from .machine import Facts, Machine, parse_int

_SYSTEMS: dict[str, System] = {"Linux": "linux", "Darwin": "darwin", "Windows": "windows"}
_CGROUP_WORDS = (("kubepods", "kubernetes"), ("docker", "docker"), ("libpod", "podman"), ("lxc", "lxc"))


def system_of(facts: Facts) -> System:
    """Our name for the operating system."""
    return _SYSTEMS.get(facts.system, "unknown")


def architecture_of(facts: Facts) -> Architecture:
    """Instruction set of this process. A 32-bit system on a 64-bit Arm kernel, usual on a Raspberry Pi, is armv7."""
    machine = facts.machine.lower()
    if machine in ("x86_64", "amd64") and facts.bits == 64:
        return "x86_64"
    if machine in ("aarch64", "arm64"):
        return "arm64" if facts.bits == 64 else "armv7"
    return "armv7" if machine in ("armv7l", "armv8l", "armv7") else "unknown"


def read_system(machine: Machine) -> OperatingSystem:
    """The operating system of a machine."""
    facts = machine.facts
    system = system_of(facts)
    return OperatingSystem(
        system=system,
        release=facts.release if system != "windows" else facts.version,
        distribution=_distribution(machine, system),
        container=_container(machine) if system == "linux" else None,
        wsl=parse_wsl(facts.release) if system == "linux" else None,
        python=facts.python,
        boot_id=_boot_id(machine, system),
    )


def parse_os_release(text: str) -> str:
    """PRETTY_NAME of /etc/os-release."""
    match = re.search(r'^PRETTY_NAME=(["\']?)(.*?)\1\s*$', text, re.MULTILINE)
    return match[2] if match else ""


def parse_wsl(release: str) -> int | None:
    """1 or 2 from a kernel release: `4.4.0-19041-Microsoft`, `5.15.153.1-microsoft-standard-WSL2`."""
    if "microsoft" not in release.lower():
        return None
    # Only version 1 translates system calls, and it calls itself 4.4; a kernel built by hand may drop the suffix.
    return 1 if release.startswith("4.4.0-") and release.endswith("-Microsoft") else 2


def parse_boottime(text: str) -> str:
    """Second of the last boot from `sysctl kern.boottime`: `{ sec = 1763900000, usec = 0 } ...`."""
    match = re.search(r"sec = (\d+)", text)
    return match[1] if match else ""


def _distribution(machine: Machine, system: System) -> str:
    if system == "darwin":
        return f"macOS {machine.facts.version}".strip()
    if system == "windows":
        # Windows 11 still calls itself 10; its builds begin at 22000.
        build = parse_int(machine.facts.version.rpartition(".")[2])
        return "Windows 11" if build is not None and build >= 22000 else "Windows 10"
    text = machine.read("/etc/os-release") or machine.read("/usr/lib/os-release") or ""
    return parse_os_release(text)


def _container(machine: Machine) -> str | None:
    if "KUBERNETES_SERVICE_HOST" in machine.facts.environment:
        return "kubernetes"
    if machine.exists("/run/.containerenv"):
        return "podman"
    if machine.exists("/.dockerenv"):
        return "docker"
    named = machine.read("/run/systemd/container") or machine.facts.environment.get("container", "")
    if named.strip():
        return named.strip()
    cgroup = machine.read("/proc/1/cgroup") or ""
    return next((name for word, name in _CGROUP_WORDS if f"/{word}" in cgroup), None)


def _boot_id(machine: Machine, system: System) -> str:
    if system == "linux":
        # Where /proc/sys is hidden, the second of the boot serves as well.
        started = re.search(r"^btime \d+", machine.read("/proc/stat") or "", re.MULTILINE)
        return (machine.read("/proc/sys/kernel/random/boot_id") or (started[0] if started else "")).strip()
    if system == "darwin":
        output = machine.run("sysctl", "kern.boottime")
        return parse_boottime(output.text) if output else ""
    return ""
