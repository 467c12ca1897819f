"""How many threads compute while other programs come and go.

The threads of one token wait for each other at every operation, so one that shares its core holds up all of them:
beside a busy loop on two cores the starter writes 35 tokens/s with two threads and 90 with one. A reading of what
others take costs 60 microseconds and is had twice a second; between readings a check is one comparison of times.

It does not know what is computed, and decides nothing that somebody has asked for.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from types import ModuleType

from ...monitor.cores import CoresTaken, affinity
from ...planning.plan import Settings

BETWEEN_SECONDS = 0.5  # from one reading to the next
#: From the beginning to the first reading, or short replies would never give way; and to the second look before that.
FIRST_SECONDS = 0.15
#: A thread gives way when others take half of its core, at two readings in a row, and comes back when they take a
#: quarter. In between nothing changes, or it would go to and fro.
GIVES_WAY, COMES_BACK = 0.5, 0.25
CALM_SECONDS = 1.0  # others must have been gone for that long


class Pace:
    """Lowers and raises the numbers of threads. Call `begin` before work after a rest, `check` before every evaluation.

    `apply` is told the threads for decode and for prefill whenever they change. `taken` is a reading of the cores that
    others took since the last one, None where there is none.
    """

    def __init__(
        self,
        apply: Callable[[int, int], None],
        threads: int,
        threads_prefill: int,
        cores: int,
        taken: Callable[[], float | None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._apply = apply
        self._threads, self._threads_prefill = threads, threads_prefill
        self._cores = cores
        self._taken, self._clock = taken, clock
        self._most = max(threads, threads_prefill)
        self._now = self._most
        self._doubted = False  # whether the last reading said to give way
        self._calm = 0.0  # seconds for which there was room for more threads than now
        self._read = clock()
        self._next = self._read

    @property
    def threads(self) -> tuple[int, int]:
        """For decode and for prefill, as they are now."""
        return min(self._threads, self._now), min(self._threads_prefill, self._now)

    def begin(self) -> None:
        """What others did while we rested tells nothing of now, except that a calm time was calm."""
        self._adjust(rested=True)

    def check(self) -> None:
        """Take a reading if it is time for one, and change the threads if it says so."""
        if self._clock() >= self._next:
            self._adjust()

    def _adjust(self, *, rested: bool = False) -> None:
        taken, now = self._taken(), self._clock()
        self._next = now + (FIRST_SECONDS if rested else BETWEEN_SECONDS)
        if taken is None:
            return
        since, self._read = now - self._read, now
        free = self._cores - taken
        room, sure_room = (max(1, min(self._most, int(free + share))) for share in (GIVES_WAY, COMES_BACK))
        self._calm = self._calm + since if sure_room > self._now else 0.0
        if room >= self._now:
            self._doubted = False
            if self._calm >= CALM_SECONDS:
                self._change(sure_room)
        elif self._doubted:
            self._change(room)
        elif not rested:  # a page that is drawn, a file that is written: often it is over before we have given way
            self._doubted, self._next = True, now + FIRST_SECONDS

    def _change(self, threads: int) -> None:
        self._now, self._calm, self._doubted = threads, 0.0, False
        self._apply(*self.threads)


def pace(llama: ModuleType, context: int, settings: Settings) -> Pace | None:
    """The pace of a context, None where nothing is to be decided: threads asked for, or a single one."""
    threads, prefill = settings.threads, settings.threads_prefill
    if threads.asked or prefill.asked or max(threads.value, prefill.value) < 2:
        return None
    usable = affinity()
    cores = len(usable) if usable is not None else os.cpu_count() or 1

    def apply(decode: int, batch: int) -> None:
        llama.llama_set_n_threads(context, decode, batch)

    return Pace(apply, threads.value, prefill.value, cores, CoresTaken(cpus=usable).read)
