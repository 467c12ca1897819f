# ruff: noqa: D102 - the methods are described in `Machine`
"""A machine recorded in a folder: what makes a board testable that is not on the desk.

pi5/
  root/          files as they are on the machine: proc/cpuinfo, sys/class/drm/card0/device/vendor, dev/hailo0, ...
  machine.json   the rest; every key is optional:
                 about, system, machine, release, version, python, bits, logical_cores, affinity "0-3", page_size,
                 environment, packages {name: version}, programs {name: path}, denied [paths], disk {total, free},
                 counters {...}, processor_features [numbers], nvml [{...}]
  commands/*.txt "$ the command line", then optionally "# exit 9", then what it printed;
                 a question put to Python is "$ python: NAME"
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import HostFileError
from .cpu_topology import parse_cpu_list
from .machine import Access, Counters, Facts, Machine, NvidiaDevice, Output

_FACTS = (
    "system", "machine", "release", "version", "python", "bits", "logical_cores", "affinity", "page_size", "environment"
)  # fmt: skip
_OTHERS = ("about", "packages", "programs", "denied", "disk", "counters", "processor_features", "nvml")


class RecordedMachine(Machine):
    """A folder in the layout above."""

    def __init__(self, folder: Path) -> None:
        data = _description(folder / "machine.json")
        facts = {key: data[key] for key in _FACTS if key in data}
        if facts.get("affinity") is not None:
            facts["affinity"] = parse_cpu_list(facts["affinity"])
        super().__init__(folder / "root", Facts(**facts))
        self.about: str = data.get("about", "")
        self._packages: Mapping[str, str] = data.get("packages", {})
        self._programs: Mapping[str, str] = data.get("programs", {})
        self._denied = frozenset(data.get("denied", ()))
        self._disk: Mapping[str, int] | None = data.get("disk")
        self._counters = Counters(**data["counters"]) if "counters" in data else None
        self._features = frozenset(data.get("processor_features", ()))
        self._nvml = tuple(NvidiaDevice(**device) for device in data["nvml"]) if "nvml" in data else None
        self._recorded = dict(_command(path) for path in sorted((folder / "commands").glob("*.txt")))

    def read(self, path: str) -> str | None:
        if path in self._denied and self._locate(path).exists():
            self.refusals[path] = "Permission denied"
            return None
        return super().read(path)

    def access(self, path: str) -> Access:
        if not self._locate(path).exists():
            return "absent"
        return "denied" if path in self._denied else "granted"

    def _run(self, command: Sequence[str], timeout: float) -> Output | None:
        return self._recorded.get(" ".join(command))

    def ask_python(self, name: str, code: str, timeout: float = 10.0) -> Output | None:
        return self._recorded.get(f"python: {name}")

    def package(self, name: str) -> str | None:
        return self._packages.get(name)

    def package_stamp(self, name: str) -> str:
        return self._packages.get(name, "")

    def program(self, name: str) -> str | None:
        return self._programs.get(name)

    def disk_room(self, path: str) -> tuple[int, int] | None:
        return (self._disk["total"], self._disk["free"]) if self._disk else None

    def counters(self) -> Counters | None:
        return self._counters

    def processor_features(self, numbers: Sequence[int]) -> frozenset[int]:
        return self._features & frozenset(numbers)

    def nvidia_devices(self) -> tuple[NvidiaDevice, ...] | None:
        return self._nvml


def _description(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise HostFileError(
            f"{path.parent} records no machine: {error.strerror or error}", hint="give a folder that holds machine.json"
        ) from error
    except ValueError as error:
        raise HostFileError(f"{path}: not JSON: {error}", hint="correct the file") from error
    known = (*_FACTS, *_OTHERS)
    unknown = sorted(set(data) - set(known)) if isinstance(data, dict) else ["(not an object)"]
    if unknown:
        raise HostFileError(f"{path}: unknown key {unknown[0]!r}", hint=f"use one of: {', '.join(known)}")
    return dict(data)


def _command(path: Path) -> tuple[str, Output]:
    """One recorded command: its line and its output."""
    first, _, rest = path.read_text(encoding="utf-8", errors="replace").partition("\n")
    if not first.startswith("$ "):
        raise HostFileError(f"{path}: the first line is not a command", hint="begin it with '$ nvidia-smi ...'")
    status = 0
    if match := re.match(r"# exit (-?\d{1,10})\n", rest, re.ASCII):
        status, rest = int(match[1]), rest[match.end() :]
    return first.removeprefix("$ ").strip(), Output(rest, status)
