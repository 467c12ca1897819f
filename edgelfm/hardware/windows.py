"""What Windows answers to `reg query`: the registry describes processor, product and devices without PowerShell.

Starting PowerShell costs half a second; `reg.exe` a few milliseconds.
"""

from __future__ import annotations

import re

from .machine import Machine

_PROCESSOR = r"HKLM\HARDWARE\DESCRIPTION\System\CentralProcessor\0"
_BIOS = r"HKLM\HARDWARE\DESCRIPTION\System\BIOS"
_CLASSES = r"HKLM\SYSTEM\CurrentControlSet\Control\Class"
# Device setup classes, from Microsoft's list of system-defined classes: Display and ComputeAccelerator.
_DISPLAY = "{4d36e968-e325-11ce-bfc1-08002be10318}"
_ACCELERATOR = "{f01a9d53-3ff6-48d2-9f97-c8a7004be10c}"
_VALUE = re.compile(r"^    (.+?)    (REG_[A-Z_]+)(?:    (.*))?$")


def processor_values(machine: Machine) -> dict[str, str]:
    """Name, vendor and clock of the first processor, as the registry has them."""
    return _values(machine, _PROCESSOR)


def bios_values(machine: Machine) -> dict[str, str]:
    """Manufacturer and product."""
    return _values(machine, _BIOS)


def display_adapters(machine: Machine) -> list[str]:
    """Descriptions of the display adapters."""
    return _device_names(machine, _DISPLAY)


def accelerators(machine: Machine) -> list[str]:
    """Descriptions of the neural processors."""
    return _device_names(machine, _ACCELERATOR)


def parse_registry(text: str) -> list[tuple[str, str]]:
    """Value names and data, in the order printed. Numbers stay as `0x...`."""
    found = (_VALUE.match(line.rstrip("\r")) for line in text.splitlines())
    return [(match[1], (match[3] or "").strip()) for match in found if match]


def _values(machine: Machine, key: str) -> dict[str, str]:
    output = machine.run("reg", "query", key)
    return dict(parse_registry(output.text)) if output else {}


def _device_names(machine: Machine, device_class: str) -> list[str]:
    # The status is 1 when one subkey denies access; what was printed still holds.
    output = machine.run("reg", "query", rf"{_CLASSES}\{device_class}", "/s", "/v", "DriverDesc")
    names = [value for name, value in parse_registry(output.text) if name == "DriverDesc"] if output else []
    return list(dict.fromkeys(name for name in names if name))
