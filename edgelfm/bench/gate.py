"""Is the machine fit to be measured? Cool, not throttled, and nobody else at work; else wait, but not for ever.

The limits are pipette's (docs/methodology/device-conditions.md): the hottest sensor below 70 °C, on a Raspberry Pi
below 80 °C and none of the current throttle bits set, other programs on less than 0.30 of the cores. Bits that say
what has happened since boot do not count. When patience has run out it goes on all the same, and the report says so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from ..monitor.cores import CoresTaken, affinity
from ..monitor.files import ROOT, read_text
from ..monitor.heat import hottest
from ..monitor.throttle import read_throttle
from .report import Conditions

HOTTEST, HOTTEST_PI = 70.0, 80.0  # celsius
LOAD_PER_CORE = 0.30
_LOOK_SECONDS = 0.2  # over which the load is taken; the kernel counts in steps of 0.01
_BETWEEN_SECONDS = 0.8  # looks while it waits


class Gate:
    """Lets a repetition begin when the machine is ready. One gate a benchmark: its patience is for all of it.

    `told` is called with what it waits for. `cpus` are the cores that count, by default those this process may use.
    `clock`, `wait` and `own`, the processor time of this process, are those of `time`, unless a test brings its own.
    """

    def __init__(
        self,
        patience: float = 60.0,
        *,
        root: Path = ROOT,
        cpus: frozenset[int] | None = None,
        told: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
        own: Callable[[], float] = time.process_time,
    ) -> None:
        self.patience = patience  # seconds that are left
        self.told = told
        self._root, self._clock, self._wait, self._own = root, clock, wait, own
        self._cpus = affinity() if cpus is None else cpus
        model = read_text(root, "/proc/device-tree/model") or ""
        self._hottest = HOTTEST_PI if "Raspberry Pi" in model else HOTTEST

    def enter(self) -> Conditions:
        """Wait until the machine is ready or patience has run out."""
        begun = self._clock()
        waited, first = 0.0, ""
        while True:
            conditions = self._look()
            if conditions.ready or waited >= self.patience:
                break
            first = first or conditions.reason
            self.told(conditions.reason)
            self._wait(min(_BETWEEN_SECONDS, self.patience - waited))
            waited = self._clock() - begun
        self.patience = max(0.0, self.patience - waited)
        return Conditions(
            waited_seconds=waited,
            ready=conditions.ready,
            celsius=conditions.celsius,
            load_per_core=conditions.load_per_core,
            throttled=conditions.throttled,
            reason=conditions.reason or first,
        )

    def _load_per_core(self) -> float | None:
        meter = CoresTaken(self._root, cpus=self._cpus, own=self._own, clock=self._clock)
        self._wait(_LOOK_SECONDS)
        taken = meter.read()
        return None if taken is None else min(1.0, taken / (len(self._cpus) if self._cpus else os.cpu_count() or 1))

    def _look(self) -> Conditions:
        load = self._load_per_core()
        zone, throttle = hottest(self._root), read_throttle(self._root)
        reasons: list[str] = []
        if zone is not None and zone.celsius >= self._hottest:
            reasons.append(f"{zone.name or 'a sensor'} at {zone.celsius:.0f} °C, {self._hottest:.0f} °C at most")
        if throttle is not None and throttle.now:
            reasons.append(f"slowed down: {', '.join(throttle.now)}")
        if load is not None and load >= LOAD_PER_CORE:
            reasons.append(f"other programs use {load:.0%} of the processor, {LOAD_PER_CORE:.0%} at most")
        return Conditions(
            waited_seconds=0.0,
            ready=not reasons,
            celsius=zone.celsius if zone is not None else None,
            load_per_core=load,
            throttled=bool(throttle.now) if throttle is not None else None,
            reason="; ".join(reasons),
        )
