"""Whether the machine can spare memory right now, for what is nice to keep but not needed."""

from __future__ import annotations

from ..hardware.cgroups import read_limits
from ..hardware.machine import Machine
from ..hardware.memory import read_memory

#: What must be left when a state has been kept. Below some hundred megabytes a small board starts to swap.
SPARE_BYTES = 256 * 1024**2


def room_for(wanted: int) -> bool:
    """Whether `wanted` bytes can be had and `SPARE_BYTES` be left, within the limits of our container."""
    machine = Machine.here()
    return read_memory(machine, read_limits(machine)).available_bytes - wanted >= SPARE_BYTES
