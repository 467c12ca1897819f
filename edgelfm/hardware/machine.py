"""The thing that is probed: this computer, or a folder that recorded another one.

A reader asks a `Machine` for file text, command output and the like, and parses what it gets; it never opens a file by
itself. So a board that is not here is a folder with a `root/` tree. A machine knows nothing of what its files mean.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Access = Literal["absent", "denied", "granted"]

_READ_LIMIT = 4 * 1024**2  # bytes; /proc/cpuinfo of a 512-thread server stays below 1 MiB
_READ_STEP = 64 * 1024  # the kernel refuses to read a file of /proc/sys in steps of 4 MiB


def parse_int(text: str) -> int | None:
    """A decimal number that fits 64 bits and has nothing beside it but space, or None."""
    return int(text) if re.fullmatch(r"\s*-?\d{1,19}\s*", text, re.ASCII) else None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the interpreter knows of the machine without reading a file."""

    system: str = ""  # as platform.system(): Linux, Darwin, Windows
    machine: str = ""  # as platform.machine(): x86_64, AMD64, aarch64, arm64
    release: str = ""  # as platform.release()
    version: str = ""  # "15.6" on macOS, "10.0.26100" on Windows
    python: str = ""  # as platform.python_version()
    bits: int = 64  # of a pointer in this process; a 32-bit system may run on a 64-bit kernel
    logical_cores: int | None = None
    affinity: tuple[int, ...] | None = None  # numbers of the hardware threads this process may use
    page_size: int = 4096
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Output:
    """What a command printed on its standard output, and the status it ended with."""

    text: str
    status: int = 0
    error: str = ""  # the last line of its standard error


@dataclass(frozen=True, slots=True)
class Counters:
    """What psutil reports, asked for where the system offers no file to read. Bytes and counts."""

    memory_total: int
    memory_available: int
    swap_total: int = 0
    physical_cores: int | None = None


@dataclass(frozen=True, slots=True)
class NvidiaDevice:
    """One GPU as NVIDIA's driver describes it. A memory it does not report is None: then it has none of its own."""

    name: str
    driver: str = ""
    compute_capability: str = ""
    memory_total: int | None = None  # bytes
    memory_free: int | None = None  # bytes
    memory_bus_bits: int | None = None  # width of the interface to that memory
    memory_clock_mhz: int | None = None  # the highest that NVML reports, which is half the transfers per second


class Machine(ABC):
    """Files under a root, commands, installed packages and facts. What could not be had is `None`.

    A thing that does not exist is an ordinary answer. A thing that exists and refuses (no permission, a failing or
    silent command) is kept in `refusals`, thing to reason, so that the reason is not lost.
    """

    #: Whether this is the computer we run on: only then may it be measured.
    live: bool = False

    def __init__(self, root: Path, facts: Facts) -> None:
        self.root = root
        self.facts = facts
        self.refusals: dict[str, str] = {}
        self._outputs: dict[tuple[str, ...], Output | None] = {}

    @staticmethod
    def here() -> Machine:
        """This computer."""
        from .live import LiveMachine

        return LiveMachine()

    @staticmethod
    def from_folder(path: Path | str) -> Machine:
        """A recorded machine. Raises `HostFileError` if the folder holds none; see `recorded` for its layout."""
        from .recorded import RecordedMachine

        return RecordedMachine(Path(path))

    # Files

    def read(self, path: str) -> str | None:
        """Text of a file, or None."""
        try:
            with self._locate(path).open("rb", buffering=0) as file:
                content = bytearray()
                while len(content) < _READ_LIMIT and (chunk := file.read(_READ_STEP)):
                    content += chunk
            return content.decode("utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self.refusals[path] = error.strerror or str(error)
            return None

    def read_int(self, path: str) -> int | None:
        """A file that holds one decimal number, or None."""
        return parse_int(self.read(path) or "")

    def glob(self, pattern: str) -> list[str]:
        """Paths that match, sorted; numbers in them count as numbers, so `cpu10` follows `cpu9`."""
        try:
            found = ["/" + path.relative_to(self.root).as_posix() for path in self.root.glob(pattern.lstrip("/"))]
        except OSError as error:
            self.refusals[pattern] = error.strerror or str(error)
            return []
        return sorted(found, key=lambda path: [(len(part), part) for part in re.split(r"(\d+)", path)])

    def exists(self, path: str) -> bool:
        """Whether anything is at that path."""
        return self.access(path) != "absent"

    @abstractmethod
    def access(self, path: str) -> Access:
        """Whether this process could open that path for reading and writing, as a device needs."""

    def _locate(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    # Everything else

    def run(self, *command: str, timeout: float = 3.0) -> Output | None:
        """Run a program for at most `timeout` seconds, once per machine. None if it is not there or gave no answer."""
        if command not in self._outputs:
            self._outputs[command] = self._run(command, timeout)
        return self._outputs[command]

    @abstractmethod
    def ask_python(self, name: str, code: str, timeout: float = 10.0) -> Output | None:
        """Run Python code in a child process, so that what it imports cannot harm this one. `name` says what for."""

    @abstractmethod
    def _run(self, command: Sequence[str], timeout: float) -> Output | None: ...

    @abstractmethod
    def package(self, name: str) -> str | None:
        """Version of an installed Python distribution. Nothing is imported."""

    @abstractmethod
    def package_stamp(self, name: str) -> str:
        """Text that changes when the distribution is installed anew, even in the same version."""

    @abstractmethod
    def program(self, name: str) -> str | None:
        """Path of a program on the search path."""

    @abstractmethod
    def disk_room(self, path: str) -> tuple[int, int] | None:
        """Total and free bytes, for this user, of the disk that holds `path` or would hold it."""

    @abstractmethod
    def counters(self) -> Counters | None:
        """What psutil knows, or None."""

    @abstractmethod
    def processor_features(self, numbers: Sequence[int]) -> frozenset[int]:
        """Which of these `IsProcessorFeaturePresent` numbers Windows affirms. Empty on other systems."""

    @abstractmethod
    def nvidia_devices(self) -> tuple[NvidiaDevice, ...] | None:
        """GPUs as NVML lists them, or None where its Python binding or its library is missing."""
