"""A sample as the row of figures that a page draws: float32, not a number where nothing is known."""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterable

from ..monitor.reading import Reading
from ..units import MIB

#: Figures of a row, in their order; then comes the share of each core. Memory is in MiB.
COLUMNS = (
    "at", "resident", "swapped", "pss", "available", "swap", "zram", "speed", "cores", "busy", "celsius", "throttled",
    "watts", "some", "full", "gpu", "gpu_memory", "npu",
)  # fmt: skip
#: Cores that are drawn one by one.
MOST_CORES = 64


def row(reading: Reading, speed: float | None, cores: int) -> array[float]:
    """One reading, with the speed at its moment in tokens per second."""
    gpu = reading.gpus[0] if reading.gpus else None
    throttled = None if reading.throttled is None else float(bool(reading.throttled))
    figures = (
        reading.at,
        _mib(reading.resident_bytes),
        _mib(reading.swapped_bytes),
        _mib(reading.pss_bytes),
        _mib(reading.available_bytes),
        _mib(reading.swap_used_bytes),
        _mib(reading.zram_taken_bytes),
        speed,
        reading.cores,
        reading.mean_busy,
        reading.celsius,
        throttled,
        reading.watts,
        reading.pressure_some,
        reading.pressure_full,
        gpu.busy if gpu else None,
        _mib(gpu.memory_used_bytes if gpu else None),
        reading.npu_busy,
    )
    shares = (reading.busy or ())[:cores]
    told = (*figures, *shares, *([None] * (cores - len(shares))))
    return array("f", (math.nan if figure is None else figure for figure in told))


def packed(rows: Iterable[array[float]]) -> bytes:
    """Rows one after the other as browsers read them: little-endian."""
    whole = array("f")
    for one in rows:
        whole.extend(one)
    if sys.byteorder == "big":
        whole.byteswap()
    return whole.tobytes()


def _mib(count: int | None) -> float | None:
    return None if count is None else count / MIB
