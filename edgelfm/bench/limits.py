"""What bounds decoding: the bytes that one token reads, and how fast main memory gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..hardware.host import Host

if TYPE_CHECKING:
    from ..planning.plan import Candidate


def bytes_per_token(candidate: Candidate) -> int | None:
    """Bytes read for one token at `speed.DEPTH`, None of a model whose architecture is not known."""
    from ..planning import speed
    from ..planning.sizes import sizes

    if candidate.model.architecture is None:
        return None
    weighed = sizes(candidate.model, candidate.artifact, ())
    return None if weighed is None else speed.bytes_per_token(weighed.read, weighed.architecture)


def main_memory(host: Host, candidate: Candidate) -> Callable[[], float | None]:
    """A function that measures the read bandwidth of main memory, in bytes per second and some 0.1 s.

    None comes of it where that does not bound the model: on a GPU with memory of its own, or without enough free
    memory to read from.
    """
    gpu = next((gpu for gpu in host.gpus if gpu.usable), None)
    elsewhere = candidate.settings.gpu_layers.value > 0 and not (gpu is not None and gpu.unified)

    def measured() -> float | None:
        from ..hardware.bandwidth import buffer_bytes, last_level_cache, measure
        from ..hardware.machine import Machine

        size = buffer_bytes(host.memory.available_bytes, last_level_cache(Machine.here()))
        return None if elsewhere or size < 1024**2 else measure(size, host.cpu.usable_cores)

    return measured
