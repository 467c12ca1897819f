"""What configurations did on this host when they were measured. Pure data; `calibration` makes predictions of it.

A record belongs to a machine, a runtime as it is built, a network and a quantization. The functions here give each of
these its name, the same at every start. They know nothing of files; `record_store` keeps records on disk.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Literal

from ..hardware.host import Host
from ..hardware.torch_bf16 import ratio_in
from ..models.architecture import Architecture
from ..models.lora import Lora
from ..units import GIB
from .plan import KvType

Phase = Literal["decode", "prefill"]
#: Where a record's model computed. A split between the two is neither and is not recorded.
Computed = Literal["cpu", "gpu"]
#: Bytes or parameters beyond this, and seconds per token outside these, are no measurement.
LARGEST_COUNT = 10**18
SHORTEST, LONGEST = 1e-9, 1e6


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds per token of one way to compute, over several runs that took turns with others."""

    seconds: float  # median
    low: float  # first quartile
    high: float  # third quartile
    runs: int


@dataclass(frozen=True, slots=True)
class Trial:
    """One value of one setting that was tried, the other settings at their best."""

    phase: Phase
    setting: str  # a field of `plan.Settings`: threads, threads_prefill, flash_attention, micro_batch, kv_type
    value: str  # "2", "on" or "off", "q8_0"
    seconds: float  # per token, median


@dataclass(frozen=True, slots=True)
class Record:
    """One model in one quantization, opened with the settings that were best, and how fast it was."""

    host: str  # `fingerprint(host)`: the same processor, memory and operating system kernel
    backend: str
    build: str  # `build(host, backend)`: version of the runtime, and what it was compiled with
    model: str  # `network(architecture, adapter)`: two fine-tunes of one network are the same here
    quantization: str
    layers: int
    bytes_per_token: int  # read for one token at `depth`
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
    device: Computed = "cpu"
    tried: tuple[Trial, ...] = ()  # the chosen values among them; a setting with one value tried was not tuned

    @property
    def key(self) -> tuple[str, ...]:
        """A new record takes the place of an older one with the same key."""
        taken = str(self.cores_taken)
        return self.host, self.backend, self.build, self.model, self.quantization, self.device, taken

    @property
    def plausible(self) -> bool:
        """Whether arithmetic with it makes sense: positive times in order, positive counts."""
        for one in (self.decode, self.prefill):
            if not SHORTEST <= one.low <= one.seconds <= one.high <= LONGEST:  # NaN is in no order
                return False
        counts = (self.layers, self.bytes_per_token, self.parameters, self.threads, self.threads_prefill)
        if max(counts) > LARGEST_COUNT:
            return False
        return min(*counts, self.micro_batch) > 0 and min(self.depth, self.prompt, self.cores_taken) >= 0

    def seconds_with(self, phase: Phase, setting: str, value: str) -> float | None:
        """Seconds per token with that value of one setting, None if it was not tried."""
        return next(
            (
                one.seconds
                for one in self.tried
                if (one.phase, one.setting, one.value) == (phase, setting, value) and SHORTEST <= one.seconds <= LONGEST
            ),
            None,
        )


def fingerprint(host: Host) -> str:
    """A name for this machine that survives a reboot and ends with a new processor, kernel or limit on cores.

    What changes from minute to minute is not in it: free memory, bandwidth samples, time. Memory counts in quarters of
    a GiB, because firmware and kernel keep a little more or less of it at each boot.
    """
    cpu, memory = host.cpu, round(host.memory.total_bytes / GIB * 4) / 4
    facts = (
        cpu.vendor, cpu.model, cpu.architecture, cpu.logical_cores, cpu.physical_cores, cpu.usable_cores, cpu.features,
        memory, host.board.name, host.board.soc, host.os.system, host.os.release,
        tuple(sorted((gpu.vendor, gpu.name) for gpu in host.gpus)),
    )  # fmt: skip
    name = cpu.model or host.board.soc or cpu.architecture
    return f"{name}, {cpu.usable_cores} cores, {memory:g} GiB, {host.os.system} {host.os.release} {_digest(facts)}"


def build(host: Host, backend: str) -> str:
    """The runtime of `backend` as it is installed: `0.3.36-1f0c83aa91`. Empty where it is not known."""
    runtime = host.runtime(backend)
    if runtime is None:
        return ""
    made = tuple(word for word in runtime.build if ratio_in((word,)) is None)  # without what was measured of it since
    return f"{runtime.version}-{_digest(made)}" if made else runtime.version


@lru_cache(maxsize=256)
def shape(architecture: Architecture) -> str:
    """A name for a network: `lfm2-16x1024-…`. Fine-tunes of one network share it, for they are equally fast.

    How much context the model card stands behind is no part of it.
    """
    facts = asdict(architecture)
    del facts["context_supported"], facts["context_advertised"]
    return f"{architecture.name}-{architecture.layers}x{architecture.hidden}-{_digest(facts)}"


def network(architecture: Architecture, adapter: Lora | None = None) -> str:
    """`shape`, and with an adapter beside it another network: one that reads and computes more for a token."""
    return shape(architecture) if adapter is None else f"{shape(architecture)}+{adapter.parameters}"


def _digest(facts: object) -> str:
    return sha256(repr(facts).encode()).hexdigest()[:10]
