"""Names of Arm cores. /proc/cpuinfo gives numbers only on arm64: an implementer and a part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

# From the Main ID Register values in the Linux kernel, arch/arm64/include/asm/cputype.h.
_IMPLEMENTERS = {
    0x41: "ARM", 0x42: "Broadcom", 0x43: "Cavium", 0x46: "Fujitsu", 0x48: "HiSilicon", 0x4E: "NVIDIA",
    0x51: "Qualcomm", 0x61: "Apple", 0x6D: "Microsoft", 0xC0: "Ampere",
}  # fmt: skip
_PARTS = {
    (0x41, 0xB76): "ARM1176", (0x41, 0xC07): "Cortex-A7", (0x41, 0xD03): "Cortex-A53", (0x41, 0xD04): "Cortex-A35",
    (0x41, 0xD05): "Cortex-A55", (0x41, 0xD07): "Cortex-A57", (0x41, 0xD08): "Cortex-A72", (0x41, 0xD09): "Cortex-A73",
    (0x41, 0xD0A): "Cortex-A75", (0x41, 0xD0B): "Cortex-A76", (0x41, 0xD0C): "Neoverse-N1", (0x41, 0xD0D): "Cortex-A77",
    (0x41, 0xD40): "Neoverse-V1", (0x41, 0xD41): "Cortex-A78", (0x41, 0xD42): "Cortex-A78AE", (0x41, 0xD44): "Cortex-X1",
    (0x41, 0xD46): "Cortex-A510", (0x41, 0xD47): "Cortex-A710", (0x41, 0xD48): "Cortex-X2", (0x41, 0xD49): "Neoverse-N2",
    (0x41, 0xD4B): "Cortex-A78C", (0x41, 0xD4C): "Cortex-X1C", (0x41, 0xD4D): "Cortex-A715", (0x41, 0xD4E): "Cortex-X3",
    (0x41, 0xD4F): "Neoverse-V2", (0x41, 0xD80): "Cortex-A520", (0x41, 0xD81): "Cortex-A720", (0x41, 0xD82): "Cortex-X4",
    (0x41, 0xD83): "Neoverse-V3AE", (0x41, 0xD84): "Neoverse-V3", (0x41, 0xD85): "Cortex-X925",
    (0x41, 0xD87): "Cortex-A725", (0x41, 0xD8E): "Neoverse-N3", (0x46, 0x001): "A64FX", (0x4E, 0x004): "Carmel",
    (0x51, 0x001): "Oryon", (0xC0, 0xAC3): "Ampere-1",
}  # fmt: skip


def describe_arm(blocks: Iterable[Mapping[str, str]]) -> tuple[str, str]:
    """Vendor and model of the processors in /proc/cpuinfo: `("ARM", "4x Cortex-A55 + 4x Cortex-A76")`."""
    pairs = [pair for block in blocks if (pair := _identity(block))]
    if not pairs:
        return "", ""
    counts = Counter(pairs)
    names = (
        f"{count}x {_PARTS.get(pair, f'{_IMPLEMENTERS.get(pair[0], hex(pair[0]))} part {pair[1]:#x}')}"
        for pair, count in counts.items()
    )
    return _IMPLEMENTERS.get(pairs[0][0], ""), " + ".join(names)


def _identity(block: Mapping[str, str]) -> tuple[int, int] | None:
    try:
        return int(block["CPU implementer"], 16), int(block["CPU part"], 16)
    except (KeyError, ValueError):
        return None
