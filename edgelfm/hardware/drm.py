"""GPUs that Linux lists under /sys/class/drm: AMD, Intel, Qualcomm and Arm. NVIDIA's are read elsewhere."""

from __future__ import annotations

import re

from .host import Cpu, Gpu, Memory
from .machine import Machine

# Kernel driver to vendor. Display-only drivers (vc4, rockchip-drm, simpledrm) are not GPUs one can compute with.
_DRIVERS = {
    "amdgpu": "amd", "i915": "intel", "xe": "intel", "msm": "qualcomm", "msm_dpu": "qualcomm", "adreno": "qualcomm",
    "panthor": "arm", "panfrost": "arm", "mali": "arm",
}  # fmt: skip
# PCI device ids of AMD processors with graphics, from the Linux PCI id database, and the name of the chip.
_AMD_APUS = {
    "15dd": "Raven Ridge", "15d8": "Picasso", "1636": "Renoir", "1638": "Cezanne", "164c": "Lucienne",
    "15e7": "Barcelo", "163f": "Van Gogh", "1435": "Sephiroth", "1506": "Mendocino", "1681": "Rembrandt",
    "164e": "Raphael", "13c0": "Granite Ridge", "15bf": "Phoenix", "15c8": "Phoenix 2", "1900": "Hawk Point",
    "1901": "Hawk Point",
    "150e": "Strix Point", "1586": "Strix Halo", "1114": "Krackan Point",
}  # fmt: skip
_INTEGRATED_SLOT = "0000:00:02.0"  # where Intel's processor graphics always sit


def drm_gpus(machine: Machine, cpu: Cpu, memory: Memory) -> tuple[Gpu, ...]:
    """One entry for each GPU with a driver we know."""
    gpus = []
    for card in machine.glob("/sys/class/drm/card*"):
        if not re.fullmatch(r"/sys/class/drm/card\d+", card):
            continue  # card0-HDMI-A-1 is a connector
        event = parse_uevent(machine.read(f"{card}/device/uevent") or "")
        vendor = _DRIVERS.get(event.get("DRIVER", ""))
        if vendor == "amd":
            gpus.append(_amd(machine, f"{card}/device", event, cpu, memory))
        elif vendor == "intel":
            gpus.append(_intel(machine, f"{card}/device", event, memory))
        elif vendor is not None:
            gpus.append(_arm(machine, f"{card}/device", event, vendor, memory))
    if not gpus and machine.exists("/dev/mali0"):
        reason = "Rockchip's vendor kernel; no runtime here drives it"
        gpus.append(Gpu("arm", "Mali", True, memory.total_bytes, memory.available_bytes, "mali", reason=reason))
    return tuple(gpus)


def parse_uevent(text: str) -> dict[str, str]:
    """`DRIVER=amdgpu` lines as a mapping."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def render_access(machine: Machine, device: str) -> tuple[bool, str]:
    """Whether this process may compute on a DRM device, and if not, what would let it."""
    nodes = machine.glob(f"{device}/drm/renderD*")
    if not nodes:
        return False, "the driver offers no render node"
    node = f"/dev/dri/{nodes[0].rpartition('/')[2]}"
    access = machine.access(node)
    if access == "granted":
        return True, ""
    if access == "denied":
        return False, f"no permission for {node}: sudo usermod -aG render,video $USER, then log in again"
    return False, f"{node} is missing: pass --device /dev/dri to the container"


def _amd(machine: Machine, device: str, event: dict[str, str], cpu: Cpu, memory: Memory) -> Gpu:
    identity = event.get("PCI_ID", "").partition(":")[2].lower()
    sizes = {
        name: machine.read_int(f"{device}/mem_info_{name}")
        for name in ("vram_total", "vram_used", "gtt_total", "gtt_used")
    }
    vram, gtt = sizes["vram_total"] or 0, sizes["gtt_total"] or 0
    vram_free, gtt_free = vram - (sizes["vram_used"] or 0), gtt - (sizes["gtt_used"] or 0)
    usable, problem = render_access(machine, device)
    marketing = re.search(r"\bRadeon\b.*", cpu.model)
    if identity in _AMD_APUS:
        total, free = vram + gtt, vram_free + min(gtt_free, memory.available_bytes)
        name = (marketing[0] if marketing else "Radeon Graphics") + f" ({_AMD_APUS[identity]})"
        reason = f"shares main memory: {vram // 1024**2} MiB carved out + {gtt // 1024**2} MiB GTT"
        return Gpu("amd", name, True, total, free, "amdgpu", usable=usable, reason=problem or reason)
    return Gpu("amd", f"AMD {identity}", False, vram, vram_free, "amdgpu", usable=usable, reason=problem)


def _intel(machine: Machine, device: str, event: dict[str, str], memory: Memory) -> Gpu:
    integrated = event.get("PCI_SLOT_NAME") == _INTEGRATED_SLOT
    usable, problem = render_access(machine, device)
    return Gpu(
        vendor="intel",
        name=f"Intel {'graphics' if integrated else 'Arc'} ({event.get('PCI_ID', '').lower()})",
        unified=integrated,
        memory_total_bytes=memory.total_bytes if integrated else None,
        memory_available_bytes=memory.available_bytes if integrated else None,
        driver=event["DRIVER"],
        usable=usable,
        reason=problem or ("shares main memory" if integrated else "the driver does not tell its memory"),
    )


def _arm(machine: Machine, device: str, event: dict[str, str], vendor: str, memory: Memory) -> Gpu:
    usable, problem = render_access(machine, device)
    name = event.get("OF_COMPATIBLE_0", "").partition(",")[2] or event["DRIVER"]
    return Gpu(
        vendor, name, True, memory.total_bytes, memory.available_bytes, event["DRIVER"],
        usable=usable, reason=problem or "shares main memory",
    )  # fmt: skip
