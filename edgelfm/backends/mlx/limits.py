"""How much memory MLX may take on this machine.

Left to itself it goes by the memory of the whole machine, whatever other programs and containers leave of it. Metal
keeps to the limit, waiting for what it is done with and then refusing; MLX's CPU build knows it and goes beyond.
"""

from __future__ import annotations

from ...hardware.cgroups import read_limits
from ...hardware.machine import Machine
from ...hardware.memory import read_memory
from .library import Library


def apply(library: Library, needed: int) -> int:
    """Let MLX have what is available now beside what it has already. Returns that limit, in bytes.

    `needed` bytes, what the plan expects of the model, are kept resident on a Mac: weights that were compressed while
    nobody chatted make the next token wait. The limit belongs to the process, so it is set anew with every model.
    """
    mx = library.mx
    machine = Machine.here()
    available = read_memory(machine, read_limits(machine)).available_bytes
    limit = int(mx.get_active_memory()) + available
    mx.set_memory_limit(limit)
    if mx.metal.is_available():
        most = int(mx.device_info()["max_recommended_working_set_size"])
        mx.set_wired_limit(min(most, int(mx.get_active_memory()) + needed))
    return limit
