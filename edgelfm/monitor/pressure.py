"""Do tasks wait for memory? Pressure stall information, which Linux keeps since 4.20 where it is switched on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .files import ROOT, read_text

_LINE = re.compile(r"^(some|full) avg10=(\d{1,3}\.\d+)", re.MULTILINE | re.ASCII)
#: Percent of the time; from here on it is worth telling. Chosen by us, not by the kernel.
NOTABLE = 1.0


@dataclass(frozen=True, slots=True)
class Pressure:
    """Percent of the last ten seconds."""

    some: float  # in which at least one task waited for memory
    full: float  # in which every task that wanted to run did


def read_pressure(root: Path = ROOT, group: str | None = None) -> Pressure | None:
    """Of the machine, or of the control group at the folder `group` where that is more. None where nobody says."""
    paths = ["/proc/pressure/memory", *([f"{group}/memory.pressure"] if group else [])]
    found = [one for path in paths if (one := parse_pressure(read_text(root, path) or "")) is not None]
    return max(found, key=lambda one: one.some, default=None)


def parse_pressure(text: str) -> Pressure | None:
    """A file of pressure stall information."""
    lines = {name: float(value) for name, value in _LINE.findall(text)}
    return Pressure(lines["some"], lines.get("full", 0.0)) if "some" in lines else None
