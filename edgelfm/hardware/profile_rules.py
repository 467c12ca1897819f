"""One rule of a hardware profile: does it hold for a machine, and which fact says so?

A rule never guesses: a fact that could not be read fulfils no rule. How rules are weighed against each other is in
`profiles`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, Protocol

from ..units import format_bytes
from .host import Gpu, Host, Npu

#: What a rule may be about, the most telling first. This order decides which profile is the more specific.
KINDS = (
    "memory limit", "WSL", "container", "board", "board family", "GPU", "CPU model", "NPU", "memory", "CPU features",
    "CPU vendor", "system", "architecture",
)  # fmt: skip

_TEXTS: Mapping[str, tuple[str, Callable[[Host], tuple[str, ...]]]] = {
    "board name": ("board", lambda host: (host.board.name,)),
    "board compatible": ("board", lambda host: host.board.compatible),
    "board soc": ("board", lambda host: (host.board.soc,)),
    "board family": ("board family", lambda host: (host.board.family,)),
    "CPU model": ("CPU model", lambda host: (host.cpu.model,)),
    "CPU vendor": ("CPU vendor", lambda host: (host.cpu.vendor,)),
    "system": ("system", lambda host: (host.os.system,)),
    "architecture": ("architecture", lambda host: (host.cpu.architecture,)),
}


class Rule(Protocol):
    """One thing a profile demands of a machine."""

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        ...

    @property
    def demands(self) -> int:
        """How many facts have to be right."""
        ...

    def fact(self, host: Host) -> str | None:
        """The fact of `host` that fulfils this rule, in words; None if it does not hold."""
        ...


@dataclass(frozen=True, slots=True)
class Text:
    """A text has one of several forms; `*`, `?` and `[0-9]` stand for what varies, case does not count."""

    about: str  # a key of `_TEXTS`
    patterns: tuple[str, ...]

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        return _TEXTS[self.about][0]

    @property
    def demands(self) -> int:
        """How many facts have to be right."""
        return 1

    def fact(self, host: Host) -> str | None:
        """The fact that fulfils this rule, in words, or None."""
        for value in _TEXTS[self.about][1](host):
            if value and _like(value, self.patterns):
                return f"{self.about} {value}"
        return None

    def __str__(self) -> str:
        return f"{self.about} {' or '.join(self.patterns)}"


@dataclass(frozen=True, slots=True)
class Device:
    """Some one GPU or NPU is of this maker, has this name, shares main memory or not."""

    kind: Literal["GPU", "NPU"]
    vendor: tuple[str, ...] = ()
    name: tuple[str, ...] = ()
    unified: bool | None = None  # GPUs only

    @property
    def demands(self) -> int:
        """How many facts have to be right."""
        return bool(self.vendor) + bool(self.name) + (self.unified is not None)

    def fact(self, host: Host) -> str | None:
        """The fact that fulfils this rule, in words, or None."""
        devices: tuple[Gpu | Npu, ...] = host.gpus if self.kind == "GPU" else host.npus
        device = next((device for device in devices if self._holds(device)), None)
        if device is None:
            return None
        memory = {None: "", True: " sharing main memory", False: " with memory of its own"}[self.unified]
        return f"{self.kind} {device.name}{memory}"

    def _holds(self, device: Gpu | Npu) -> bool:
        if self.unified is not None and getattr(device, "unified", None) is not self.unified:
            return False
        return (not self.vendor or _like(device.vendor, self.vendor)) and (
            not self.name or _like(device.name, self.name)
        )

    def __str__(self) -> str:
        memory = {None: "", True: "sharing main memory", False: "with memory of its own"}[self.unified]
        words = (" or ".join(self.vendor), " or ".join(self.name), memory)
        return f"{self.kind} {' '.join(word for word in words if word)}"


@dataclass(frozen=True, slots=True)
class MemoryRange:
    """Main memory, or the limit set below it, is within a range. Bytes."""

    at_least: int | None = None
    below: int | None = None

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        return "memory"

    @property
    def demands(self) -> int:
        """How many facts have to be right."""
        return 1

    def fact(self, host: Host) -> str | None:
        """The fact that fulfils this rule, in words, or None."""
        size = memory_of(host)
        if not size or (self.at_least is not None and size < self.at_least):
            return None
        return None if self.below is not None and size >= self.below else f"{format_bytes(size)} of memory"

    def __str__(self) -> str:
        ends = (("at least", self.at_least), ("below", self.below))
        return "memory " + " and ".join(f"{word} {format_bytes(size)}" for word, size in ends if size is not None)


@dataclass(frozen=True, slots=True)
class Features:
    """The CPU has all of these features, one of those, and none of a third lot."""

    every: tuple[str, ...] = ()
    some: tuple[str, ...] = ()
    none: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        return "CPU features"

    @property
    def demands(self) -> int:
        """How many facts have to be right."""
        return len(self.every) + bool(self.some) + len(self.none)

    def fact(self, host: Host) -> str | None:
        """The fact that fulfils this rule, in words, or None."""
        has = set(host.cpu.features)
        if not has or not has.issuperset(self.every) or has & set(self.none):
            return None
        found = [name for name in self.some if name in has][:1]
        if self.some and not found:
            return None
        words = [*self.every, *found, *(f"no {name}" for name in self.none)]
        return f"CPU with {', '.join(words)}"

    def __str__(self) -> str:
        words = [*self.every, " or ".join(self.some), *(f"no {name}" for name in self.none)]
        return f"CPU with {', '.join(word for word in words if word)}"


@dataclass(frozen=True, slots=True)
class Flag:
    """Something stands between us and the machine, or does not: a memory limit, WSL, a container."""

    kind: Literal["memory limit", "WSL", "container"]
    wanted: bool

    @property
    def demands(self) -> int:
        """How many facts have to be right."""
        return 1

    def fact(self, host: Host) -> str | None:
        """The fact that fulfils this rule, in words, or None."""
        if self.kind == "memory limit":
            size = host.memory.limit_bytes
            found, words = size is not None, f"memory limited to {format_bytes(size or 0)}"
        elif self.kind == "WSL":
            found, words = host.os.wsl is not None, f"WSL {host.os.wsl}"
        else:
            found, words = host.os.container is not None, f"container {host.os.container}"
        return None if found is not self.wanted else words if found else f"no {self.kind}"

    def __str__(self) -> str:
        return self.kind if self.wanted else f"no {self.kind}"


def memory_of(host: Host) -> int:
    """Bytes of main memory, or of the limit below it; 0 if unknown."""
    limit = host.memory.limit_bytes
    return host.memory.total_bytes if limit is None else min(limit, host.memory.total_bytes or limit)


def _like(value: str, patterns: tuple[str, ...]) -> bool:
    folded = value.casefold()
    return any(fnmatchcase(folded, pattern.casefold()) for pattern in patterns)
