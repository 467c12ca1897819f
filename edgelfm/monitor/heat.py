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


def read_zones(root: Path = ROOT) -> tuple[Zone, ...]:
    """All sensors that answer, none where the system shows none (containers, virtual machines, macOS, Windows)."""
    zones = tuple(
        zone
        for folder in find(root, "/sys/class/thermal/thermal_zone*")
        if (zone := _zone(root, read_text(root, f"{folder}/type") or "", f"{folder}/temp")) is not None
    )
    return zones or _processor_sensors(root)


def hottest(root: Path = ROOT) -> Zone | None:
    """The hottest sensor, None if there is none."""
    return max(read_zones(root), key=lambda zone: zone.celsius, default=None)


def _processor_sensors(root: Path) -> tuple[Zone, ...]:
    zones: list[Zone] = []
    for folder in find(root, "/sys/class/hwmon/hwmon*"):
        driver = read_text(root, f"{folder}/name") or ""
        if driver not in _PROCESSORS:
            continue
        for path in find(root, f"{folder}/temp*_input"):
            label = read_text(root, path.replace("_input", "_label")) or ""
            if (zone := _zone(root, f"{driver} {label}".strip(), path)) is not None:
                zones.append(zone)
    return tuple(zones)


def _zone(root: Path, name: str, path: str) -> Zone | None:
    thousandths = read_int(root, path)
    if thousandths is None or not _PLAUSIBLE[0] < thousandths / 1000 < _PLAUSIBLE[1]:
        return None
    return Zone(name, thousandths / 1000)
