"""One look at everything: the machine, this process, its accelerators. Knows nothing of models."""

from __future__ import annotations

from dataclasses import dataclass

from .events import Event

HERTZ = 4.0  # readings a second, where nothing else is asked for


@dataclass(frozen=True, slots=True)
class GpuReading:
    """One GPU at one moment. None where the driver does not say, as for memory that it shares with the processor."""

    name: str
    busy: float | None = None  # share of the time, 0 to 1, over a period that the driver chooses
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    celsius: float | None = None
    watts: float | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One sample. None where the system does not say. What is costly to look at may be some seconds old.

    Shares are 0 to 1. What is per core is in the order of the numbers of the cores that are on.
    """

    at: float  # seconds since the recording began, on a clock that only goes forward
    # This process
    resident_bytes: int | None = None
    swapped_bytes: int | None = None
    peak_bytes: int | None = None  # highest `resident_bytes` since the process began, as the kernel keeps it
    pss_bytes: int | None = None  # memory shared with others divided among them
    uss_bytes: int | None = None  # memory that nobody else has
    cores: float | None = None  # cores that it kept busy since the last reading
    # The machine's memory
    memory_total_bytes: int | None = None
    memory_available_bytes: int | None = None
    swap_total_bytes: int | None = None
    swap_used_bytes: int | None = None
    zram_held_bytes: int | None = None  # of the swap, what is compressed in main memory
    zram_taken_bytes: int | None = None  # main memory that takes
    group_used_bytes: int | None = None  # of the control group that limits this process most
    group_limit_bytes: int | None = None
    pressure_some: float | None = None  # percent of the last ten seconds in which some task waited for memory
    pressure_full: float | None = None  # in which all did
    # Processor, heat, power
    busy: tuple[float, ...] | None = None  # share of each core, all programs together
    megahertz: tuple[float, ...] | None = None  # clock of each core
    celsius: float | None = None  # hottest sensor
    throttled: tuple[str, ...] | None = None  # what slows the machine down now; empty if nothing does
    watts: float | None = None
    joules: float | None = None  # since the recording began
    # Accelerators
    gpus: tuple[GpuReading, ...] = ()
    npu_busy: float | None = None

    @property
    def available_bytes(self) -> int | None:
        """What this process can still take: of the machine, and under the limit of its control group."""
        rooms = [self.memory_available_bytes]
        if self.group_limit_bytes is not None and self.group_used_bytes is not None:
            rooms.append(max(0, self.group_limit_bytes - self.group_used_bytes))
        return min((room for room in rooms if room is not None), default=None)

    @property
    def mean_busy(self) -> float | None:
        """Share of all cores together."""
        return sum(self.busy) / len(self.busy) if self.busy else None


@dataclass(frozen=True, slots=True)
class Sample:
    """A reading, and what models did since the one before. Every moment is in seconds since the recorder began."""

    reading: Reading
    events: tuple[Event, ...] = ()
    tokens: tuple[float, ...] = ()  # moments at which tokens were sampled
