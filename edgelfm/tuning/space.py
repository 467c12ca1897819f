"""What there is to try on this machine: thread counts within every bound, and layouts that memory allows.

Arithmetic over a plan; nothing is measured here.
"""

from __future__ import annotations

from ..backends.llama_cpp.rig import Layout
from ..errors import DoesNotFit
from ..hardware.host import Cpu
from ..planning import memory
from ..planning.plan import Candidate, MemoryEstimate, Plan
from ..planning.settings import thread_bound
from ..units import format_bytes

#: Tokens of the prompts and depths that may be measured, by what time allows.
PROMPTS = (512, 256, 128, 64)
#: Tokens of context from which on flash attention shows what it costs a token. Below, llama.cpp on a CPU is quicker.
DEEP = 256
#: Tokens read and written in a typical turn of a chat, of which the earlier turns are in the state already.
TURN_READ, TURN_WRITTEN = 128, 128
#: Tokens computed at once. Fewer leave matrix units idle, more were never faster on a CPU.
MICRO_BATCHES = (64, 128, 256, 512)
#: Tokens that one measurement of decode writes.
WRITTEN = 8
_FIXED = ("weights", "output head", "companions", "mapped copy", "runtime")  # what a second context shares


def thread_counts(cpu: Cpu, bound: int | None) -> tuple[int, ...]:
    """Numbers of threads worth trying, the most first: powers of two and every count of cores, up to `bound`."""
    counts = {cpu.performance_cores, cpu.physical_cores, cpu.logical_cores}
    most = max(count for count in counts if count is not None)
    power = 1
    while power <= most:
        counts.add(power)
        power *= 2
    most = min(most, bound or most)
    counts.add(most)  # a bound between two powers of two is a count of cores too
    return tuple(sorted((count for count in counts if count is not None and count <= most), reverse=True))


def threads_to_try(plan: Plan, candidate: Candidate, *, prefill: bool) -> tuple[int, ...]:
    """Numbers of threads for one phase. On a GPU the CPU only hands out work, and nothing is tried."""
    usual = (candidate.settings.threads_prefill if prefill else candidate.settings.threads).value
    if candidate.settings.gpu_layers.value:
        return (usual,)
    bound = thread_bound(plan.host.cpu, plan.match.profile.threads, prefill=prefill)
    return thread_counts(plan.host.cpu, bound.value if bound is not None else None)


def layouts(plan: Plan, candidate: Candidate) -> tuple[Layout, ...]:
    """Layouts that fit, the one that takes least memory first. Values that were asked for are tried like any other.

    A layout fits if the model would fit with it, and if a small context with it fits beside the model as it is now.
    Raises `DoesNotFit` if there is no room to measure anything.
    """
    kv_type = candidate.settings.kv_type.value
    # Values of fewer bits need flash attention in llama.cpp.
    attentions = (True, False) if kv_type == "f16" else (True,)
    every = [Layout(flash, size, kv_type) for flash in attentions for size in MICRO_BATCHES]
    usable = plan.budget.usable_bytes
    left = usable - candidate.memory.on("host")
    context = candidate.settings.context.value
    now = _beside_weights(candidate, usual(candidate), context)
    found = []
    for layout in every:
        bench = _beside_weights(candidate, layout, PROMPTS[0] + 2 * WRITTEN)
        if (
            layout.micro_batch <= context
            and bench <= left
            and _beside_weights(candidate, layout, context) - now <= left
        ):
            found.append(layout)
    if not found:
        raise DoesNotFit(
            f"{format_bytes(left)} are left beside {candidate.model.name}, too little to measure it",
            hint="close other programs, or load with a smaller context",
        )
    return tuple(sorted(found, key=lambda one: _beside_weights(candidate, one, context)))


def usual(candidate: Candidate) -> Layout:
    """The layout that the plan has."""
    settings = candidate.settings
    return Layout(settings.flash_attention.value, settings.micro_batch.value, settings.kv_type.value)


def _beside_weights(candidate: Candidate, layout: Layout, context: int) -> int:
    """Bytes of a context: keys and values, convolution state, buffers."""
    settings = candidate.settings
    bill: MemoryEstimate = memory.estimate(
        candidate.backend,
        candidate.model.architecture,
        weight_bytes=0,
        context=context,
        micro_batch=min(layout.micro_batch, context),
        batch=min(settings.batch.value, context),
        kv_type=layout.kv_type,
        flash_attention=layout.flash_attention,
        gpu_layers=settings.gpu_layers.value,
    )
    return sum(part.bytes for part in bill.parts if part.name not in _FIXED)
