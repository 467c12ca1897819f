"""What does it draw? Counters of energy where there are some, else power at this moment.

Intel and AMD processors count the energy of their package (RAPL); reading it needs root since 2020. A Jetson measures
its supply rails, a laptop its battery while it runs on it. Each says something else, so the source is always named.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .files import ROOT, find, read_int, read_text

#: Rails that carry everything, in the order of NVIDIA's carrier boards. Others are parts of them.
_JETSON_TOTAL = ("VDD_IN", "POM_5V_IN", "VIN_SYS_5V0", "VIN")


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter of energy that starts again from zero after its range."""

    name: str  # "package-0", "psys"
    joules: float
    range_joules: float


@dataclass(frozen=True, slots=True)
class Power:
    """What is drawn at one moment."""

    watts: float
    source: str  # "battery", "VDD_IN rail"


def read_counters(root: Path = ROOT) -> tuple[Counter, ...]:
    """RAPL counters of the processor packages. Empty where there are none, or where this user may not read them."""
    found: list[Counter] = []
    for folder in find(root, "/sys/class/powercap/*-rapl:[0-9]*"):
        name = read_text(root, f"{folder}/name") or ""
        microjoules = read_int(root, f"{folder}/energy_uj")
        reach = read_int(root, f"{folder}/max_energy_range_uj")
        # Parts such as "core" and "dram" have two numbers in their path and are in the package or beside it.
        if re.fullmatch(r"package-\d+", name) and microjoules is not None and reach is not None:
            found.append(Counter(name, microjoules / 1e6, reach / 1e6))
    return tuple(found)


def joules_between(before: Sequence[Counter], after: Sequence[Counter]) -> float | None:
    """Energy from one reading to the next, all packages together, None without counters.

    A counter that is lower than before has gone round once. At 100 W the smallest range in use lasts for 10 minutes, so
    readings must not be further apart.
    """
    earlier = {counter.name: counter for counter in before}
    parts = [
        (counter.joules - earlier[counter.name].joules) % counter.range_joules
        if counter.joules < earlier[counter.name].joules and counter.range_joules > 0
        else counter.joules - earlier[counter.name].joules
        for counter in after
        if counter.name in earlier
    ]
    return sum(parts) if parts else None


def read_power(root: Path = ROOT) -> Power | None:
    """Power at this moment from the rails of a Jetson, or from a battery that is being emptied."""
    return _rails(root) or _battery(root)


def _rails(root: Path) -> Power | None:
    rails: dict[str, float] = {}
    for path in find(root, "/sys/class/hwmon/hwmon*/in[0-9]*_label"):
        folder, number = path.rpartition("/in")[0], re.findall(r"\d+", path)[-1]
        if "ina3221" not in (read_text(root, f"{folder}/name") or ""):
            continue
        label = read_text(root, path) or ""
        millivolts = read_int(root, f"{folder}/in{number}_input")
        milliamperes = read_int(root, f"{folder}/curr{number}_input")
        if millivolts is None or milliamperes is None or not label or "NC" in label or number == "7":
            continue  # not connected; channel 7 is the sum of the shunts, not a rail
        rails[label] = millivolts * milliamperes / 1e6
    for total in _JETSON_TOTAL:
        if total in rails:
            return Power(rails[total], f"{total} rail")
    return Power(sum(rails.values()), "rails " + ", ".join(sorted(rails))) if rails else None


def _battery(root: Path) -> Power | None:
    watts = 0.0
    for folder in find(root, "/sys/class/power_supply/*"):
        if read_text(root, f"{folder}/type") != "Battery" or read_text(root, f"{folder}/scope") == "Device":
            continue  # a mouse has a battery too
        if read_text(root, f"{folder}/status") != "Discharging":
            continue
        microwatts = read_int(root, f"{folder}/power_now")
        volts, amperes = read_int(root, f"{folder}/voltage_now"), read_int(root, f"{folder}/current_now")
        if microwatts is not None:
            watts += abs(microwatts) / 1e6
        elif volts is not None and amperes is not None:
            watts += abs(volts * amperes) / 1e12
    return Power(watts, "battery") if watts > 0 else None
