"""How many cores Linux has, how many of them are fast, and how fast: from /sys/devices/system/cpu.

Hardware threads that share a core are told by their sibling lists, because core ids repeat between clusters on Arm.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from .machine import Machine, parse_int

# A core counts as fast from this share of the best one's capacity or clock. Favoured cores of one cluster differ by a
# few percent (Intel Turbo Boost Max 3.0); an efficiency core stays below 0.72 (Zen 5c 0.64, Gracemont 0.70).
_FAST_SHARE = 0.75
_MOST = 8192  # processors a Linux kernel can be configured for (CONFIG_NR_CPUS)


@dataclass(frozen=True, slots=True)
class Topology:
    """Counts of cores, None where /sys does not tell."""

    logical: int | None
    physical: int | None
    performance: int | None  # of those this process may use
    max_hz: int | None


def read_topology(machine: Machine, affinity: Sequence[int] | None) -> Topology:
    """The cores of a Linux machine."""
    online = parse_cpu_list(machine.read("/sys/devices/system/cpu/online") or "")
    cores: dict[str, list[int]] = {}
    hertz: dict[int, int] = {}
    capacity: dict[int, int] = {}
    for cpu in online:
        folder = f"/sys/devices/system/cpu/cpu{cpu}"
        siblings = machine.read(f"{folder}/topology/thread_siblings_list")
        if siblings:
            cores.setdefault(siblings.strip(), []).append(cpu)
        if (kilohertz := machine.read_int(f"{folder}/cpufreq/cpuinfo_max_freq")) is not None:
            hertz[cpu] = kilohertz * 1000
        if (value := machine.read_int(f"{folder}/cpu_capacity")) is not None:
            capacity[cpu] = value
    groups = list(cores.values())
    # A kernel that hides the siblings of some processors tells nothing about the whole.
    complete = bool(online) and sum(map(len, groups)) == len(online)
    fast = parse_cpu_list(machine.read("/sys/devices/cpu_core/cpus") or "") or fast_cpus(online, capacity, hertz)
    return Topology(
        logical=len(online) or None,
        physical=len(groups) if complete else None,
        performance=count_fast_cores(groups, fast, affinity) if complete else None,
        max_hz=max(hertz.values(), default=None),
    )


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """`0-3,8` as numbers. Text of another form gives none."""
    numbers: list[int] = []
    for part in text.strip().split(","):
        first, dash, last = part.partition("-")
        begin, end = parse_int(first), parse_int(last if dash else first)
        if begin is None or end is None or begin < 0 or end - begin > _MOST or len(numbers) > _MOST:
            return ()
        numbers.extend(range(begin, end + 1))
    return tuple(numbers)


def fast_cpus(cpus: Sequence[int], capacity: Mapping[int, int], hertz: Mapping[int, int]) -> tuple[int, ...]:
    """Those that keep up with the fastest, by the scheduler's capacity or else by their highest clock."""
    for figures in (capacity, hertz):
        if figures and len(set(figures.values())) > 1:
            best = max(figures.values())
            return tuple(cpu for cpu in cpus if figures.get(cpu, 0) >= _FAST_SHARE * best)
    return tuple(cpus)


def count_fast_cores(groups: Sequence[Sequence[int]], fast: Collection[int], affinity: Collection[int] | None) -> int:
    """Cores with a fast hardware thread that this process may use; if it may use none of these, all it may use."""
    allowed = [[cpu for cpu in group if affinity is None or cpu in affinity] for group in groups]
    mine = [group for group in allowed if group]
    return sum(1 for group in mine if any(cpu in fast for cpu in group)) or len(mine)
