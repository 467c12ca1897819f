"""How fast can the cores multiply? The other bound on decode beside memory, which few cores beside fast memory reach.

Each weight that a token reads is multiplied and added once, whatever it is stored in. What one core of llama.cpp does
of that a second hangs on its instructions, its clock and how well a kernel fits it; the ranges hold all of these.

One thread on an EPYC with AVX-512 VNNI and bf16, in billions a second of processor time, as the machine was busy:

| weights of a 350M | Q4_0 | Q4_0, not repacked | Q4_1 | Q4_K_M | Q8_0 | F16 |
|---|---|---|---|---|---|---|
| two of its layers, in the cache | 26 | | 12 | 29 | 14 | 11 |
| all, from memory | 23 | 14 | 12 | 30 | 18 | 12 |

It is arithmetic that sets this pace, and its two "cores" together do no more than 27 in Q4_0 and 12 in Q4_1 (SmolLM2):
those of a virtual machine may be two threads of one. Other sources, for each core:

| cores | weights | billion multiply-adds a second |
|---|---|---|
| EPYC with AVX-512 VNNI, 1 thread | 1.2B in Q4_0, Q4_K_M, Q8_0 | 26, 26, 13 |
| Xeon with AVX-512, 2 threads | 350M in Q4_0 | 8.7 |
| Cortex-A76 at 2.4 GHz, 1 thread | 350M in INT8, by Cactus | 11 |
| Cortex-A76, 4 threads, which fill memory | 3B in Q4_K_M (github.com/geerlingguy/ai-benchmarks/issues/24) | 4.4 |
| Cortex-A72, 4 threads | 1.1B in Q8_0, F16 (justine.lol/matmul) | 0.8, 0.6 |
"""

from __future__ import annotations

from ..hardware.host import Host

Range = tuple[float, float]

#: Multiply-adds a second and core, by the best instruction that the library may use. Dot products of bytes: AVX2 and
#: later on x86, `dotprod` on Arm. Weights that llama.cpp does not rewrite for the processor take twice as long there.
X86, X86_OLD = (5e9, 3.5e10), (1.5e9, 1e10)
AS_STORED = 2e10
ARM, ARM_OLD = (4e9, 3.5e10), (5e8, 3e9)
#: Cores that do one thing after the other, as in a Raspberry Pi 3. None was measured: they are taken for a third of
#: what a Cortex-A72 does.
IN_ORDER = (1.7e8, 1e9)
_IN_ORDER = ("Cortex-A7", "Cortex-A35", "Cortex-A53", "Cortex-A55")
_DOT = {"avx2": X86, "avx512": X86, "avx512f": X86, "dotprod": ARM}


def multiply_adds(host: Host, threads: int, *, repacked: bool = True) -> Range | None:
    """What `threads` threads of llama.cpp do together in a second, None for processors that nothing is known of.

    `repacked` says whether weights are rewritten for the processor as they are loaded.
    """
    cpu = host.cpu
    runtime = host.runtime("llama.cpp")
    able = {word.lower() for word in runtime.build} if runtime is not None and runtime.installed else set()
    if not able & {"neon", "sse3", *_DOT}:  # it does not say what it was compiled for
        able = set(cpu.features)
    one = next((pace for word, pace in _DOT.items() if word in able), None)
    if one is None and cpu.architecture == "x86_64":
        one = X86_OLD
    if one is None and cpu.architecture in ("arm64", "armv7"):
        names = cpu.model.replace("+", " ").split()
        slow = any(name in _IN_ORDER for name in names) and not any(
            name.startswith("Cortex-") and name not in _IN_ORDER for name in names
        )
        one = IN_ORDER if slow else ARM_OLD
    if one is None:
        return None
    together: float = min(threads, cpu.physical_cores or cpu.logical_cores)
    if cpu.quota is not None:
        together = min(together, cpu.quota)
    most = one[1] if repacked or one is not X86 else AS_STORED
    return one[0] * together, most * together
