"""Every reader of this room behind one call that stays cheap: what costs more is read less often.

Files are looked for once, when the sampler is made; a sensor that appears later is not seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from .clocks import Clocks
from .core_shares import CoreShares
from .energy import PACKAGE, EnergyMeter
from .files import ROOT
from .gpus import Gpus
from .groups import Group
from .heat import Sensors
from .main_memory import ZramDevices, read_main_memory
from .memory import read_process, read_shared
from .npus import EVERY, NpuShare
from .pressure import read_pressure
from .reading import GpuReading, Reading
from .throttle import Signs, Throttle, began

T = TypeVar("T")

#: Share of a core that each reader may take for itself. There are a dozen.
SHARE = 0.0005
_NEWEST = 0.25  # how much of the mean cost the latest reading makes up
_SHORTEST = 0.05  # seconds, for what is a share of the time between two readings
_SLOW, _SLOWER = 0.4, 0.9  # seconds, a little below half a second and a second: for what changes slowly
_PROGRAM_EVERY = 5.0  # seconds, for what starts a program


class Paced(Generic[T]):
    """A reader that is asked as often as its cost allows. In between, its last answer stands."""

    def __init__(
        self, read: Callable[[], T], *, every: float = 0.0, cost: Callable[[], float] = time.thread_time
    ) -> None:
        """`every` is the least time between two readings in seconds, `cost` a clock of what reading takes."""
        self._read, self._every, self._clock = read, every, cost
        self._seconds = 0.0  # mean cost of a reading
        self._due = float("-inf")
        self._value: T

    def __call__(self, now: float) -> T:
        """What it says at `now`, in seconds on any clock."""
        if now >= self._due:
            begun = self._clock()
            self._value = self._read()
            self._seconds += _NEWEST * (self._clock() - begun - self._seconds)
            self._due = now + max(self._every, self._seconds / SHARE)
        return self._value


class Sampler:
    """Reads everything. Use it from one thread at a time, and `close` it."""

    def __init__(self, root: Path = ROOT, *, gpus: Gpus | None = None) -> None:
        group, shares, clocks, sensors = Group(root), CoreShares(root), Clocks(root), Sensors(root)
        self._gpus = Gpus(root) if gpus is None else gpus
        self._signs = Signs(root)
        self._throttle: Throttle | None = None
        self._meter, self._npu = EnergyMeter(root), NpuShare(root)
        self._now = 0.0
        self._gpu_power: tuple[float, float] | None = None  # time of the last look, watts
        self._gpu_joules = 0.0
        self._own: tuple[float, float] | None = None  # time, processor seconds of this process
        self._process = partial(read_process, None, root)
        self._shared = Paced(lambda: read_shared(None, root), every=_SLOWER)
        self._memory = Paced(lambda: read_main_memory(root), every=_SLOW)
        self._zram = Paced(ZramDevices(root).read, every=_SLOWER)
        self._group = Paced(group.read, every=_SLOWER)
        # A mean of ten seconds hardly moves in one.
        self._pressure = Paced(lambda: read_pressure(root, group.folder if group.version == 2 else None), every=_SLOWER)
        self._busy = Paced(shares.read, every=_SHORTEST)
        self._cores = Paced(self._own_cores, every=_SHORTEST)
        self._clocks = Paced(clocks.read, every=_SLOWER)
        self._heat = Paced(sensors.hottest, every=_SLOW)
        self._throttled = Paced(self._look_at_throttling, every=_PROGRAM_EVERY if self._signs.asks else 0.0)
        self._energy = Paced(lambda: self._meter.read(self._now))
        self._gpu_readings: Paced[tuple[GpuReading, ...]] = Paced(self._gpus.read)
        self._npu_share = Paced(lambda: self._npu.read(self._now), every=EVERY)

    @property
    def power_source(self) -> str:
        """What the power is the power of: "RAPL package", "VDD_IN rail", "battery", "GPU". Empty if unknown."""
        drawn = [self._meter.source] if self._meter.source else []
        return " and ".join(drawn + (["GPU"] if self._gpu_power is not None else []))

    def read(self, at: float) -> Reading:
        """Look, at the moment `at` in seconds."""
        self._now = at
        process, shared, memory = self._process(), self._shared(at), self._memory(at)
        zram, group, pressure = self._zram(at), self._group(at), self._pressure(at)
        heat, gpus = self._heat(at), self._gpu_readings(at)
        energy = self._power(at, gpus)
        return Reading(
            at=round(at, 4),
            resident_bytes=process.resident if process else None,
            swapped_bytes=process.swapped if process else None,
            peak_bytes=process.peak if process else None,
            pss_bytes=shared.pss if shared else None,
            uss_bytes=shared.uss if shared else None,
            cores=self._cores(at),
            memory_total_bytes=memory.total if memory else None,
            memory_available_bytes=memory.available if memory else None,
            swap_total_bytes=memory.swap_total if memory else None,
            swap_used_bytes=memory.swap_used if memory else None,
            zram_held_bytes=zram.held if zram else None,
            zram_taken_bytes=zram.taken if zram else None,
            group_used_bytes=group.used if group else None,
            group_limit_bytes=group.limit if group else None,
            pressure_some=pressure.some if pressure else None,
            pressure_full=pressure.full if pressure else None,
            busy=_rounded(self._busy(at), 3),
            megahertz=_rounded(self._clocks(at), 1),
            celsius=heat.celsius if heat else None,
            throttled=self._throttled(at),
            watts=round(energy[0], 3) if energy else None,
            joules=round(energy[1], 3) if energy else None,
            gpus=gpus,
            npu_busy=self._npu_share(at),
        )

    def close(self) -> None:
        """Let go of drivers."""
        self._gpus.close()

    def _own_cores(self) -> float | None:
        now = (self._now, time.process_time())
        last, self._own = self._own, now
        return (
            None if last is None or now[0] <= last[0] else max(0.0, round((now[1] - last[1]) / (now[0] - last[0]), 3))
        )

    def _power(self, at: float, gpus: tuple[GpuReading, ...]) -> tuple[float, float] | None:
        """Watts and joules, with those of GPUs where the meter does not have them in it already."""
        energy = self._energy(at)
        drawn = [gpu.watts for gpu in gpus if gpu.watts is not None]
        if not drawn or self._meter.source not in ("", PACKAGE):
            return energy
        last, self._gpu_power = self._gpu_power, (at, sum(drawn))
        if last is not None:
            self._gpu_joules += (at - last[0]) * (last[1] + self._gpu_power[1]) / 2
        watts, joules = energy or (0.0, 0.0)
        return watts + self._gpu_power[1], joules + self._gpu_joules

    def _look_at_throttling(self) -> tuple[str, ...] | None:
        """Reasons that hold now, or held since the last look by a counter that has grown."""
        now = self._signs.read()
        last, self._throttle = self._throttle, now
        if now is None:
            return None
        if now.now or last is None or last.now:
            return now.now
        return ("heat",) if began(last, now) else ()


def _rounded(values: tuple[float, ...] | None, digits: int) -> tuple[float, ...] | None:
    """To what is worth writing down, None for nothing."""
    return tuple(round(value, digits) for value in values) if values else None
