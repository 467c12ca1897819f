"""A memory bill as a bar: which kinds of memory, and which share of what is available each of them takes.

A GPU with memory of its own has a bar of its own. What the profile leaves to the system stands at the end of the bar of
main memory, so that the free part between the two is really free.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..units import format_bytes
from .plan import Budget, Device, MemoryEstimate

#: Kind of each part of the bill; what is not named here is "other".
KINDS = {
    "weights": "weights",
    "weight copies": "weights",
    "output head": "weights",
    "mapped copy": "weights",
    "companions": "weights",
    "KV cache": "KV cache",
    "convolution state": "convolution state",
    "compute buffers": "compute",
    "output": "compute",
    "scratch": "compute",
}
#: Kinds in the order in which they stand, and the class that gives each its colour.
LOOKS = {"weights": "weights", "KV cache": "kv", "convolution state": "conv", "compute": "compute", "other": "other"}


@dataclass(frozen=True, slots=True)
class Segment:
    """One kind of memory."""

    kind: str
    look: str
    bytes: int
    share: float  # of what is available, 0 to 1

    @property
    def words(self) -> str:
        """`KV cache 48 MiB`."""
        return f"{self.kind} {format_bytes(self.bytes)}"


@dataclass(frozen=True, slots=True)
class Bar:
    """One memory and what would be in it. `kept` is left alone: the reserve, or what the request does not allow."""

    device: Device
    segments: tuple[Segment, ...]
    total_bytes: int  # of the segments
    available_bytes: int
    kept: Segment | None = None

    @property
    def words(self) -> str:
        """Everything in the bar as a sentence."""
        kept = f"; {self.kept.words}" if self.kept else ""
        where = " of the GPU" if self.device == "gpu" else ""
        parts = ", ".join(one.words for one in self.segments)
        return f"{parts}: {format_bytes(self.total_bytes)} of {format_bytes(self.available_bytes)}{where}{kept}"


def bars(memory: MemoryEstimate, budget: Budget | None = None) -> tuple[Bar, ...]:
    """A bar for main memory, and one for the GPU's own where something lives there.

    Without a budget a bar shows shares of the bill itself.
    """
    main = _bar(memory, "host", budget.available_bytes if budget else memory.on("host"), kept(budget))
    if not memory.on("gpu"):
        return (main,)
    return (_bar(memory, "gpu", (budget.gpu_bytes if budget else None) or memory.on("gpu"), None), main)


def kept(budget: Budget | None) -> Segment | None:
    """Memory that no model may take, though it is available."""
    if budget is None or not budget.available_bytes:
        return None
    left = budget.available_bytes - budget.usable_bytes
    reserved = left == min(budget.reserve_bytes, budget.available_bytes)
    kind = "the profile's reserve, left to the system" if reserved else "more than may be used"
    return Segment(kind, "kept", left, left / budget.available_bytes) if left > 0 else None


def _bar(memory: MemoryEstimate, device: Device, available: int, kept: Segment | None) -> Bar:
    counted = dict.fromkeys(LOOKS, 0)
    for part in memory.parts:
        if part.device == device:
            counted[KINDS.get(part.name, "other")] += part.bytes
    segments = tuple(
        Segment(kind, LOOKS[kind], count, count / available if available else 0.0)
        for kind, count in counted.items()
        if count
    )
    return Bar(device, segments, memory.on(device), available, kept)
