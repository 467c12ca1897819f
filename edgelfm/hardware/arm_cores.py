"""Names of Arm cores. On arm64 /proc/cpuinfo gives numbers only: an implementer and a part."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

# From the Main ID Register values in the Linux kernel, arch/arm64/include/asm/cputype.h.
_IMPLEMENTERS = {
    0x41: "ARM", 0x42: "Broadcom", 0x43: "Cavium", 0x46: "Fujitsu", 0x48: "HiSilicon", 0x4E: "NVIDIA",
    0x51: "Qualcomm", 0x61: "Apple", 0x6D: "Microsoft", 0xC0: "Ampere",
}  # fmt: skip
_ARM_PARTS = {
    0xC07: "Cortex-A7", 0xD03: "Cortex-A53", 0xD04: "Cortex-A35", 0xD05: "Cortex-A55", 0xD07: "Cortex-A57",
    0xD08: "Cortex-A72", 0xD09: "Cortex-A73", 0xD0A: "Cortex-A75", 0xD0B: "Cortex-A76", 0xD0D: "Cortex-A77",
    0xD41: "Cortex-A78", 0xD42: "Cortex-A78AE", 0xD4B: "Cortex-A78C", 0xD46: "Cortex-A510", 0xD47: "Cortex-A710",
    0xD4D: "Cortex-A715", 0xD80: "Cortex-A520", 0xD81: "Cortex-A720", 0xD87: "Cortex-A725", 0xD44: "Cortex-X1",
    0xD4C: "Cortex-X1C", 0xD48: "Cortex-X2", 0xD4E: "Cortex-X3", 0xD82: "Cortex-X4", 0xD85: "Cortex-X925",
    0xD0C: "Neoverse-N1", 0xD49: "Neoverse-N2", 0xD8E: "Neoverse-N3", 0xD40: "Neoverse-V1", 0xD4F: "Neoverse-V2",
    0xD83: "Neoverse-V3AE", 0xD84: "Neoverse-V3",
}  # fmt: skip
_PARTS = {
    0x41: _ARM_PARTS,
    0x46: {0x001: "A64FX"},
    0x4E: {0x004: "Carmel"},
    0x51: {0x001: "Oryon"},
    0xC0: {0xAC3: "Ampere-1"},
}


def describe_arm(blocks: Iterable[Mapping[str, str]]) -> tuple[str, str]:
    """Vendor and model of the processors in /proc/cpuinfo: `("ARM", "4x Cortex-A55 + 4x Cortex-A76")`."""
    pairs = [pair for block in blocks if (pair := _identity(block))]
    if not pairs:
        return "", ""
    names = (f"{count}x {_name(*pair)}" for pair, count in Counter(pairs).items())
    return _IMPLEMENTERS.get(pairs[0][0], ""), " + ".join(names)


def _identity(block: Mapping[str, str]) -> tuple[int, int] | None:
    numbers = [block.get(name, "") for name in ("CPU implementer", "CPU part")]
    if not all(re.fullmatch("0x[0-9a-f]{1,8}", number) for number in numbers):
        return None
    return int(numbers[0], 16), int(numbers[1], 16)


def _name(implementer: int, part: int) -> str:
    maker = _IMPLEMENTERS.get(implementer, f"implementer {implementer:#x}")
    return _PARTS.get(implementer, {}).get(part, f"{maker} part {part:#x}")
