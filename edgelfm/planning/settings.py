"""Which settings, in which order they give way when memory is short, and the reason for each.

The order is the one that costs people least: a shorter context, then smaller pieces of prompt at a time, then keys and
values in 8 bits. Only after that another quantization, and last another model; those two are the planner's. A value
that somebody fixed never gives way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..decision import Decision
from ..hardware.host import Cpu
from ..hardware.profiles import ThreadPolicy
from ..models.architecture import Architecture
from ..units import GIB, format_bytes
from .acceleration import Acceleration
from .plan import Budget, KvType, Request

CONTEXTS = (16384, 8192, 4096, 2048, 1024)
MICRO_BATCHES = (512, 256, 128, 64)
#: Runtimes that keep keys and values in the numbers they compute with, and cannot be told otherwise.
KV_AS_COMPUTED = frozenset({"transformers", "onnx"})
#: Runtimes that save memory with keys and values in 8 bits. MLX has them for the asking, and then holds the scores of
#: attention, which take about as much as is saved in the shapes of LFM2.
SMALL_KV_SAVES = frozenset({"llama.cpp"})
#: Context by memory to spend, at least that many bytes. Conversations rarely outgrow 8,192 tokens, and prompts beyond
#: that take minutes to read on a small CPU; a longer one is had for the asking.
CONTEXT_FOR = ((16 * GIB, 16384), (4 * GIB, 8192), (int(1.5 * GIB), 4096), (0, 2048))
#: Micro-batch by memory to spend. Each token of it costs one row of logits in compute buffers; 128 prefills within a
#: few percent of 512 on CPUs with few cores.
MICRO_BATCH_FOR = ((8 * GIB, 512), (4 * GIB, 256), (0, 128))
BATCH = 512
#: Checkpoints that are always kept, whatever memory is left: a regenerate must not read the whole prompt again.
CHECKPOINTS_AT_LEAST = 16
#: More than this is never kept for going back. It holds 43,000 tokens of an LFM2-1.2B in full.
STATES_AT_MOST = GIB // 2


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the ladder."""

    context: int  # tokens
    micro_batch: int  # tokens
    kv_type: KvType


def ladder(request: Request, budget: Budget, supported: int, *, small_kv: bool = True) -> tuple[Rung, ...]:
    """From what suits the machine down to the least that is useful; fixed values stay as they are.

    `supported` is the context the model card stands behind, 0 where it is not known. `small_kv` says whether keys and
    values in 8 bits are a step down.
    """
    return tuple(_rungs(request, budget, supported, small_kv))


def _rungs(request: Request, budget: Budget, supported: int, small_kv: bool) -> Iterator[Rung]:
    context = request.context or default_context(budget, supported)
    micro_batch = request.micro_batch or min(default_micro_batch(budget), context)
    kv_type: KvType = request.kv_type or "f16"
    yield Rung(context, micro_batch, kv_type)
    if request.context is None:
        for step in CONTEXTS:
            if step < context:
                context = step
                yield Rung(context, min(micro_batch, context), kv_type)
    if request.micro_batch is None:
        for step in MICRO_BATCHES:
            if step < micro_batch:
                micro_batch = step
                yield Rung(context, min(micro_batch, context), kv_type)
    if request.kv_type is None and small_kv:
        yield Rung(context, min(micro_batch, context), "q8_0")


def default_context(budget: Budget, supported: int) -> int:
    """Tokens of context that suit the memory there is, within what the model supports."""
    return min(_by_memory(CONTEXT_FOR, budget), supported or CONTEXTS[0])


def default_micro_batch(budget: Budget) -> int:
    """Tokens computed at once that suit the memory there is."""
    return _by_memory(MICRO_BATCH_FOR, budget)


def _by_memory(table: tuple[tuple[int, int], ...], budget: Budget) -> int:
    room = max(budget.usable_bytes, budget.gpu_bytes or 0)
    return next(value for least, value in table if room >= least)


def threads(cpu: Cpu, policy: ThreadPolicy, request: Request, *, prefill: bool) -> Decision[int]:
    """How many threads compute, by the profile's policy, within affinity and quota."""
    if request.threads is not None:
        return Decision(request.threads, "asked for", "measured")
    physical = cpu.physical_cores or cpu.logical_cores
    counted = {
        "performance": cpu.performance_cores or physical,
        "physical": physical,
        "all": cpu.logical_cores,
    }[policy.cores]
    words = {"performance": "fast cores", "physical": "physical cores", "all": "hardware threads"}[policy.cores]
    if policy.cores == "performance" and cpu.performance_cores in (None, physical):
        words = "physical cores"
    reason = f"one for each of {counted} {words}"
    bound = thread_bound(cpu, policy, prefill=prefill)
    if bound is not None and bound.value < counted:
        return bound
    return Decision(max(1, counted), reason, "estimated")


def thread_bound(cpu: Cpu, policy: ThreadPolicy, *, prefill: bool) -> Decision[int] | None:
    """The most threads there may be, whatever was measured: by affinity, quota and the profile. None without limit."""
    maximum = (policy.prefill_maximum or policy.maximum) if prefill else policy.maximum
    bounds = [
        (cpu.affinity, "this process may run on {}"),
        (int(cpu.quota) if cpu.quota is not None else None, "the container grants {} cores of time"),
        (maximum, "the profile allows {}" + (f": {policy.reason}" if policy.reason else "")),
    ]
    known = [(bound, words) for bound, words in bounds if bound is not None]
    if not known:
        return None
    least, words = min(known, key=lambda one: one[0])
    return Decision(max(1, least), words.format(least), "estimated")


def context_decision(request: Request, budget: Budget, supported: int, advertised: int, chosen: int) -> Decision[int]:
    """Say why the context is what it is."""
    if request.context is not None:
        return Decision(chosen, "asked for", "measured")
    wanted = default_context(budget, supported)
    if chosen < wanted:
        return Decision(chosen, f"{wanted} would not fit; the context gives way first", "estimated")
    if supported and chosen == supported and _by_memory(CONTEXT_FOR, budget) > supported:
        return Decision(chosen, "all that the model supports", "estimated")
    room = max(budget.usable_bytes, budget.gpu_bytes or 0)
    reason = f"suits {format_bytes(room)} to spend"
    if supported > chosen:
        reason += f"; the model supports {supported}"
        if advertised > supported:
            reason += f", not the {advertised} in its files"
    return Decision(chosen, reason, "estimated")


def mmap_decision(repacked_bytes: int, accelerator: Acceleration, offloaded: bool, saved: str) -> Decision[bool]:
    """Whether weights are mapped from the file or read into memory. `saved` is a size in words."""
    if offloaded and accelerator.interface == "METAL":
        return Decision(True, "Metal reads the mapped pages themselves, without a copy", "estimated")
    if offloaded:
        return Decision(False, "weights are copied to the GPU; mapped pages would stay beside the copy", "estimated")
    if repacked_bytes:
        return Decision(
            False, f"llama.cpp repacks these weights for this CPU; mapping would keep {saved} twice", "estimated"
        )
    return Decision(True, "nothing is repacked, so pages are shared and can be dropped under pressure", "estimated")


def state_decision(left_bytes: int, architecture: Architecture) -> Decision[int]:
    """Bytes for checkpoints and for the states of other conversations, out of `left_bytes` beside the model.

    Half of what is left, for people open other programs too. It is taken as conversations come up, not when loading.
    """
    checkpoint = 4 * len(architecture.conv_layers) * architecture.hidden * max(0, architecture.conv_cache - 1)
    for layer in architecture.sliding_layers:  # keys and values in 16 bits
        checkpoint += 4 * architecture.kv_heads[layer] * architecture.sliding_window * architecture.head_dim
    least = CHECKPOINTS_AT_LEAST * checkpoint
    if left_bytes // 2 <= least:
        return Decision(least, f"little memory is left: {CHECKPOINTS_AT_LEAST} places to go back to, no more")
    chosen = min(left_bytes // 2, STATES_AT_MOST)
    return Decision(chosen, f"of {format_bytes(left_bytes)} left, taken only as conversations come up")
