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
#: The source that counts processor packages, and so no GPU on a card of its own.
PACKAGE = "RAPL package"


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


class Counters:
    """The RAPL counters of the processor packages, looked for once and read many times."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        # Parts such as "core" and "dram" have two numbers in their path and are in the package or beside it.
        self._packages = [
            (name, folder)
            for folder in find(root, "/sys/class/powercap/*-rapl:[0-9]*")
            if re.fullmatch(r"package-\d+", name := read_text(root, f"{folder}/name") or "")
        ]

    def read(self) -> tuple[Counter, ...]:
        """Empty where there are none, or where this user may not read them."""
        found: list[Counter] = []
        for name, folder in self._packages:
            microjoules = read_int(self._root, f"{folder}/energy_uj")
            reach = read_int(self._root, f"{folder}/max_energy_range_uj")
            if microjoules is not None and reach is not None:
                found.append(Counter(name, microjoules / 1e6, reach / 1e6))
        return tuple(found)


def read_counters(root: Path = ROOT) -> tuple[Counter, ...]:
    """RAPL counters of the processor packages as they stand now."""
    return Counters(root).read()


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


class Supply:
    """What tells the power at a moment, looked for once and read many times: rails of a Jetson, or a battery."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._rails = [
            (label, f"{folder}/in{number}_input", f"{folder}/curr{number}_input")
            for folder, number, label in _labels(root)
            # "NC" is not connected; channel 7 is the sum of the shunts, not a rail.
            if label and "NC" not in label and number != "7"
        ]
        self._batteries = [
            folder
            for folder in find(root, "/sys/class/power_supply/*")
            # A mouse has a battery too.
            if read_text(root, f"{folder}/type") == "Battery" and read_text(root, f"{folder}/scope") != "Device"
        ]

    def read(self) -> Power | None:
        """The rails, or the battery if it is being emptied. None where nothing tells."""
        return self._rails_now() or self._battery_now()

    def _rails_now(self) -> Power | None:
        rails: dict[str, float] = {}
        for label, volts, amperes in self._rails:
            millivolts, milliamperes = read_int(self._root, volts), read_int(self._root, amperes)
            if millivolts is not None and milliamperes is not None:
                rails[label] = millivolts * milliamperes / 1e6
        for total in _JETSON_TOTAL:
            if total in rails:
                return Power(rails[total], f"{total} rail")
        return Power(sum(rails.values()), "rails " + ", ".join(sorted(rails))) if rails else None

    def _battery_now(self) -> Power | None:
        root, watts = self._root, 0.0
        for folder in self._batteries:
            if read_text(root, f"{folder}/status") != "Discharging":
                continue
            microwatts = read_int(root, f"{folder}/power_now")
            volts, amperes = read_int(root, f"{folder}/voltage_now"), read_int(root, f"{folder}/current_now")
            if microwatts is not None:
                watts += abs(microwatts) / 1e6
            elif volts is not None and amperes is not None:
                watts += abs(volts * amperes) / 1e12
        return Power(watts, "battery") if watts > 0 else None


def read_power(root: Path = ROOT) -> Power | None:
    """Power at this moment from the rails of a Jetson, or from a battery that is being emptied."""
    return Supply(root).read()


class EnergyMeter:
    """Energy since the first reading, added up reading after reading: of counters, or of power over time."""

    def __init__(self, root: Path = ROOT) -> None:
        self._counters, self._supply = Counters(root), Supply(root)
        self._before: tuple[Counter, ...] = ()
        self._last: tuple[float, float | None] | None = None  # seconds and watts
        self._joules = 0.0
        self.source = ""  # what the last reading came from: "RAPL package", "VDD_IN rail", "battery"

    def read(self, now: float) -> tuple[float, float] | None:
        """Watts since the last reading, or at this moment where there is no counter, and joules since the first.

        `now` is in seconds. None where nothing tells, and for a counter at its first reading.
        """
        if after := self._counters.read():
            return self._count(now, after)
        if (power := self._supply.read()) is None:
            self._last = None  # on mains again, perhaps: what is drawn until the next reading is not known
            return None
        self.source = power.source
        if self._last is not None and self._last[1] is not None:
            self._joules += (now - self._last[0]) * (self._last[1] + power.watts) / 2
        self._last = (now, power.watts)
        return power.watts, self._joules

    def _count(self, now: float, after: tuple[Counter, ...]) -> tuple[float, float] | None:
        self.source = PACKAGE
        before, last = self._before, self._last
        self._before, self._last = after, (now, None)
        joules = joules_between(before, after)
        if joules is None or last is None or now <= last[0]:
            return None
        self._joules += joules
        return joules / (now - last[0]), self._joules


def _labels(root: Path) -> list[tuple[str, str, str]]:
    """Folder, channel and label of what INA3221 chips measure."""
    found = []
    for path in find(root, "/sys/class/hwmon/hwmon*/in[0-9]*_label"):
        folder, number = path.rpartition("/in")[0], re.findall(r"\d+", path)[-1]
        if "ina3221" in (read_text(root, f"{folder}/name") or ""):
            found.append((folder, number, read_text(root, path) or ""))
    return found
