"""How hot is it? Thermal zones of the kernel, and the sensors of the processor where there are no zones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .files import ROOT, find, read_int, read_text

#: Outside of this a sensor is broken, asleep or not connected.
_PLAUSIBLE = (0.0, 150.0)
#: Drivers of hwmon that sit in a processor. Desktop machines often have no thermal zone but these.
_PROCESSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal")


@dataclass(frozen=True, slots=True)
class Zone:
    """One sensor."""

    name: str  # the kernel's type: "cpu-thermal", "x86_pkg_temp", "k10temp Tctl"
    celsius: float


class Sensors:
    """The sensors of a machine, looked for once and read many times."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._zones = [
            (read_text(root, f"{folder}/type") or "", f"{folder}/temp")
            for folder in find(root, "/sys/class/thermal/thermal_zone*")
        ]
        self._processors = _processor_sensors(root)

    def read(self) -> tuple[Zone, ...]:
        """All that answer, none where the system shows none (containers, virtual machines, macOS, Windows)."""
        return self._answers(self._zones) or self._answers(self._processors)

    def hottest(self) -> Zone | None:
        """The hottest of them."""
        return max(self.read(), key=lambda zone: zone.celsius, default=None)

    def _answers(self, sensors: list[tuple[str, str]]) -> tuple[Zone, ...]:
        read = ((name, read_int(self._root, path)) for name, path in sensors)
        return tuple(
            Zone(name, thousandths / 1000)
            for name, thousandths in read
            if thousandths is not None and _PLAUSIBLE[0] < thousandths / 1000 < _PLAUSIBLE[1]
        )


def read_zones(root: Path = ROOT) -> tuple[Zone, ...]:
    """All sensors that answer now."""
    return Sensors(root).read()


def hottest(root: Path = ROOT) -> Zone | None:
    """The hottest sensor, None if there is none."""
    return Sensors(root).hottest()


def _processor_sensors(root: Path) -> list[tuple[str, str]]:
    """Name and file of each."""
    sensors: list[tuple[str, str]] = []
    for folder in find(root, "/sys/class/hwmon/hwmon*"):
        driver = read_text(root, f"{folder}/name") or ""
        if driver not in _PROCESSORS:
            continue
        for path in find(root, f"{folder}/temp*_input"):
            label = read_text(root, path.replace("_input", "_label")) or ""
            sensors.append((f"{driver} {label}".strip(), path))
    return sensors
