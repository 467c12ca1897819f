"""Which product this is: by device tree on boards, by DMI on PCs, by sysctl and registry elsewhere."""

from __future__ import annotations

import re

from .host import Board
from .machine import Machine
from .macos import sysctl
from .system import system_of
from .windows import bios_values, processor_values

_DEVICE_TREE = ("/proc/device-tree", "/sys/firmware/devicetree/base")
# Prefix of a compatible string, and the family it tells. The first match of the whole list wins.
_FAMILIES = (
    ("raspberrypi,", "raspberry-pi"),
    ("nvidia,tegra", "jetson"),
    ("rockchip,rk3588", "rk3588"),
    ("rockchip,rk3576", "rk3576"),
    ("qcom,x1", "snapdragon"),
    ("qcom,sc8", "snapdragon"),
    ("apple,", "mac"),
)
# What makers write into DMI when they write nothing.
_PLACEHOLDERS = {"", "to be filled by o.e.m.", "default string", "system product name", "system manufacturer", "none",
                 "not specified", "o.e.m.", "standard"}  # fmt: skip


def read_board(machine: Machine) -> Board:
    """The board or product."""
    system = system_of(machine.facts)
    if system == "darwin":
        values = sysctl(machine)
        chip = values.get("machdep.cpu.brand_string", "")
        return Board(family="mac", name=values.get("hw.model", ""), soc=chip if chip.startswith("Apple") else "")
    if system == "windows":
        return _windows(machine)
    for base in _DEVICE_TREE:
        compatible = parse_strings(machine.read(f"{base}/compatible") or "")
        if compatible:
            return _device_tree(machine, "".join(parse_strings(machine.read(f"{base}/model") or "")[:1]), compatible)
    return _dmi(machine)


def parse_strings(text: str) -> tuple[str, ...]:
    """Strings of a device-tree property, each ended by a zero byte."""
    return tuple(part.strip() for part in text.split("\0") if part.strip())


def family_of(compatible: tuple[str, ...]) -> str:
    """Board family by device-tree compatible strings."""
    return next(
        (family for prefix, family in _FAMILIES if any(entry.startswith(prefix) for entry in compatible)), "generic"
    )


def soc_of(compatible: tuple[str, ...]) -> str:
    """The chip. Compatible strings go from special to general, so the last one names it: `brcm,bcm2712`."""
    return compatible[-1].partition(",")[2] if compatible else ""


def parse_tegra_release(text: str) -> str:
    """`# R36 (release), REVISION: 4.3, ...` as `L4T 36.4.3`."""
    match = re.search(r"# R(\d+) \(release\), REVISION: ([\d.]+)", text)
    return f"L4T {match[1]}.{match[2]}" if match else ""


def _device_tree(machine: Machine, model: str, compatible: tuple[str, ...]) -> Board:
    family = family_of(compatible)
    firmware = parse_tegra_release(machine.read("/etc/nv_tegra_release") or "") if family == "jetson" else ""
    return Board(family=family, name=model, compatible=compatible, soc=soc_of(compatible), firmware=firmware)


def _dmi(machine: Machine) -> Board:
    parts = {}
    for field in ("sys_vendor", "product_name", "product_version", "board_name"):
        text = (machine.read(f"/sys/class/dmi/id/{field}") or "").strip()
        parts[field] = "" if text.lower() in _PLACEHOLDERS else text
    product = parts["product_name"] or parts["board_name"]
    name = product if product.startswith(parts["sys_vendor"]) else f"{parts['sys_vendor']} {product}"
    return Board(name=name.strip(), firmware=parts["product_version"])


def _windows(machine: Machine) -> Board:
    values = bios_values(machine)
    chip = " ".join(processor_values(machine).get("ProcessorNameString", "").split())
    name = f"{values.get('SystemManufacturer', '')} {values.get('SystemProductName', '')}".strip()
    if chip.startswith("Snapdragon"):
        # "Snapdragon(R) X Elite - X1E80100 - Qualcomm(R) Oryon(TM) CPU": the middle part is the chip.
        number = re.search(r"\b(X\d[EP]\w+)\b", chip)
        return Board(family="snapdragon", name=name, soc=number[1].lower() if number else "")
    return Board(name=name)
