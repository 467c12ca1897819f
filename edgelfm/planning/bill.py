"""The memory bill of one artifact with given settings: the runtime's model of memory, plus what lies beside weights."""

from __future__ import annotations

from . import adapting, memory, on_the_fly
from .loading import Torch
from .plan import Device, MemoryEstimate, MemoryPart
from .settings import Rung
from .sizes import Sizes


def bill(
    backend: str,
    sizes: Sizes,
    rung: Rung,
    *,
    batch: int,
    repacked_bytes: int,
    copied_bytes: int,
    mmap: bool,
    flash_attention: bool,
    gpu_layers: int,
    gpu_memory: Device,
    number_bytes: int = 2,
    widened: bool = False,
    torch: Torch = "",
    adapter_bytes: int = 0,
) -> MemoryEstimate:
    """Peak memory, part by part, graded as well as the sizes are known."""
    estimate = memory.estimate(
        backend,
        sizes.architecture,
        weight_bytes=sizes.weights,
        repacked_bytes=repacked_bytes,
        context=rung.context,
        micro_batch=rung.micro_batch,
        batch=batch,
        kv_type=rung.kv_type,
        flash_attention=flash_attention,
        mmap=mmap,
        gpu_layers=gpu_layers,
        gpu_memory=gpu_memory,
        number_bytes=number_bytes,
        widened=widened,
        torch=torch,
    )
    extra = []
    if adapter_bytes:
        where: Device = next((part.device for part in estimate.parts if part.name == "weights"), "host")
        extra.append(adapting.part(adapter_bytes, where))
    if sizes.made_from:
        note = "the file and its numbers, while they are made smaller"
        extra.append(MemoryPart("weight copies", round(on_the_fly.WHILE_MADE * sizes.made_from), "estimated", note))
    if copied_bytes:
        extra.append(MemoryPart("output head", copied_bytes, "estimated", "the tied embedding again, repacked"))
    if sizes.companions:
        note = "projector, vocoder or tokenizer files"
        if sizes.companions_bounded:
            note += "; not all of their sizes are published"
        extra.append(
            MemoryPart("companions", sizes.companions, "unknown" if sizes.companions_bounded else "estimated", note)
        )
    if not sizes.note and not extra:
        return estimate
    weights = [part for part in estimate.parts if part.name == "weights"]
    noted = [MemoryPart(one.name, one.bytes, one.grade, sizes.note or one.note, one.device) for one in weights]
    return MemoryEstimate((*noted, *extra, *(part for part in estimate.parts if part.name != "weights")))
