"""What configurations did on this host when they were measured. Pure data; `calibration` makes predictions of it."""

from __future__ import annotations

from dataclasses import dataclass

from .plan import KvType


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds per token of one way to compute, over several runs that took turns with others."""

    seconds: float  # median
    low: float  # first quartile
    high: float  # third quartile
    runs: int


@dataclass(frozen=True, slots=True)
class Record:
    """One model in one quantization, opened with the settings that were best, and how fast it was."""

    host: str  # `fingerprint(host)`: the same processor, memory and operating system kernel
    backend: str
    build: str  # version of the runtime
    model: str  # `shape(architecture)`: two fine-tunes of one network are the same here
    quantization: str
    layers: int
    bytes_per_token: int  # read for one token at `speed.DEPTH`
    parameters: int  # that take part in one token
    threads: int
    threads_prefill: int
    flash_attention: bool
    micro_batch: int
    kv_type: KvType
    decode: Timing  # at `depth` tokens of context
    prefill: Timing  # of a prompt of `prompt` tokens
    depth: int
    prompt: int
    cores_taken: int  # by other programs while this was measured; 0 on a quiet machine
    measured_at: str  # ISO 8601, UTC
