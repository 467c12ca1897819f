"""SIMD features under one set of names, whatever each system calls them.

Only those that change how fast a language model runs are kept: what llama.cpp's CPU code chooses kernels by
(ggml-cpu, arch/x86/cpu-feats.cpp and arch/arm/cpu-feats.cpp).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

# Our name for each word in the `flags` line of /proc/cpuinfo.
_LINUX_X86 = {
    name: name
    for name in ("avx", "avx2", "f16c", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8")
}
# Arm: words of the `Features` line; the kernel says "asimd" for NEON on arm64 and "neon" on 32-bit Arm.
_LINUX_ARM = {
    "asimd": "neon", "neon": "neon", "asimddp": "dotprod", "asimdhp": "fp16", "i8mm": "i8mm", "bf16": "bf16",
    "sve": "sve", "sve2": "sve2", "sme": "sme",
}  # fmt: skip
_MACOS_ARM = {
    "AdvSIMD": "neon", "FEAT_DotProd": "dotprod", "FEAT_I8MM": "i8mm", "FEAT_BF16": "bf16", "FEAT_FP16": "fp16",
    "FEAT_SME": "sme",
}  # fmt: skip
_MACOS_X86 = {
    "AVX1.0": "avx", "AVX2": "avx2", "F16C": "f16c", "FMA": "fma", "AVX512F": "avx512f", "AVX512VNNI": "avx512_vnni"
}  # fmt: skip
# Numbers for IsProcessorFeaturePresent, from winnt.h of the Windows SDK.
_WINDOWS_X86 = {39: "avx", 40: "avx2", 41: "avx512f"}
_WINDOWS_ARM = {19: "neon", 43: "dotprod", 46: "sve", 47: "sve2", 66: "i8mm", 67: "fp16", 68: "bf16", 70: "sme"}
WINDOWS_NUMBERS = (*_WINDOWS_X86, *_WINDOWS_ARM)


def linux_features(words: Iterable[str], architecture: str) -> tuple[str, ...]:
    """From the words of a `flags` or `Features` line."""
    table = _LINUX_X86 if architecture == "x86_64" else _LINUX_ARM
    return _sorted(table[word] for word in words if word in table)


def macos_features(values: Mapping[str, str], architecture: str) -> tuple[str, ...]:
    """From `sysctl hw machdep.cpu`."""
    if architecture == "arm64":
        return _sorted(ours for name, ours in _MACOS_ARM.items() if values.get(f"hw.optional.arm.{name}") == "1")
    words = f"{values.get('machdep.cpu.features', '')} {values.get('machdep.cpu.leaf7_features', '')}".split()
    return _sorted(_MACOS_X86[word] for word in words if word in _MACOS_X86)


def windows_features(numbers: Collection[int], architecture: str) -> tuple[str, ...]:
    """From what `IsProcessorFeaturePresent` affirms. Windows has no word for VNNI and AMX."""
    table = _WINDOWS_X86 if architecture == "x86_64" else _WINDOWS_ARM
    found = {name for number, name in table.items() if number in numbers}
    if "avx2" in found:
        found |= {"f16c", "fma"}  # every processor with AVX2 that Windows 10 runs on has both
    return _sorted(found)


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))
