"""Which YAML profile describes this machine, and why that one?

A profile is data that people read and edit: one file a board or a class of machines, in `profiles/`. This module holds
what a profile says and finds the one that fits best. `profile_files` reads the files, `profile_schema` checks them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ProfileError, ProfileNotFound
from .host import Host
from .profile_rules import KINDS, Rule, memory_of

if TYPE_CHECKING:
    from ..yamlfile import Problem


@dataclass(frozen=True, slots=True)
class ThreadPolicy:
    """How many threads to compute with."""

    cores: str = "performance"  # "performance", "physical" or "all": which cores count
    maximum: int | None = None  # never more than this, for decode
    prefill_maximum: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SpeedReference:
    """A published speed for this class of machine. Told as theirs, with the source."""

    model: str  # catalogue id
    quantization: str
    runtime: str
    decode: float | None = None  # tokens per second
    prefill: float | None = None  # tokens per second
    source: str = ""


@dataclass(frozen=True, slots=True)
class Reserve:
    """Memory left alone: a share of the machine's memory between two bounds. Bytes."""

    at_least: int = 0
    at_most: int | None = None
    fraction: float = 0.0

    def of(self, memory: int) -> int:
        """Bytes to leave alone on a machine with `memory` bytes."""
        wanted = max(self.at_least, round(self.fraction * memory))
        return wanted if self.at_most is None else min(wanted, self.at_most)


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Expected memory bandwidth of the machines that `rules` hold for; no rules hold for all."""

    bytes_per_second: float
    source: str
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """One board or class of machines.

    `reserve_bytes`, `bandwidth_bytes_per_second` and `bandwidth_source` are the general case in a profile that `load`
    returns, and this machine's in a profile that `match` returns.
    """

    id: str  # file name without .yaml
    name: str  # "Raspberry Pi 5"
    reserve_bytes: int  # memory left to the system and to other programs
    backends: tuple[str, ...]  # best first
    quantizations: tuple[str, ...]  # llama.cpp names, best first; other backends map by bits
    threads: ThreadPolicy = field(default_factory=ThreadPolicy)
    bandwidth_bytes_per_second: float | None = None  # expected of main memory (or unified GPU memory)
    bandwidth_source: str = ""
    references: tuple[SpeedReference, ...] = ()
    notes: tuple[str, ...] = ()
    path: str = ""  # where it was read
    rules: tuple[Rule, ...] | None = None  # all have to hold; () holds anywhere, None is taken by name only
    reserve: Reserve | None = None
    bandwidths: tuple[Bandwidth, ...] = ()  # the first whose rules hold is this machine's

    @property
    def specificity(self) -> tuple[int, ...]:
        """Facts demanded of each kind, in the order of `KINDS`."""
        return tuple(sum(rule.demands for rule in self.rules or () if rule.kind == kind) for kind in KINDS)

    @property
    def describes(self) -> str:
        """The match rules in words."""
        if self.rules is None:
            return "taken by name only"
        return ", ".join(str(rule) for rule in self.rules) or "any machine"

    def facts(self, host: Host) -> list[str] | None:
        """The facts of `host` that fulfil the rules, in words; None if one of them does not hold."""
        if self.rules is None:
            return None
        return _facts(self.rules, host)

    def for_host(self, host: Host) -> Profile:
        """This profile with the reserve and the bandwidth of `host`."""
        reserve = self.reserve_bytes if self.reserve is None else self.reserve.of(memory_of(host))
        fitting = (one for one in self.bandwidths if _facts(one.rules, host) is not None)
        if (bandwidth := next(fitting, None)) is None:
            return replace(self, reserve_bytes=reserve)
        return replace(
            self,
            reserve_bytes=reserve,
            bandwidth_bytes_per_second=bandwidth.bytes_per_second,
            bandwidth_source=bandwidth.source,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON. Bytes, bytes per second and tokens per second."""
        return {
            "id": self.id,
            "name": self.name,
            "match": self.describes,
            "reserve_bytes": self.reserve_bytes,
            "backends": list(self.backends),
            "quantizations": list(self.quantizations),
            "threads": {name: getattr(self.threads, name) for name in ThreadPolicy.__slots__},
            "bandwidth_bytes_per_second": self.bandwidth_bytes_per_second,
            "bandwidth_source": self.bandwidth_source,
            "references": [{name: getattr(one, name) for name in SpeedReference.__slots__} for one in self.references],
            "notes": list(self.notes),
            "path": self.path,
        }

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .html import profile_bundle

        return profile_bundle(self)


@dataclass(frozen=True, slots=True)
class Match:
    """The profile that was taken and why."""

    profile: Profile
    reason: str  # "board soc bcm2712" or "chosen by EDGELFM_PROFILE"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .html import match_bundle

        return match_bundle(self)


def load(environment: Mapping[str, str] | None = None) -> dict[str, Profile]:
    """All profiles by id: those that come with edgelfm, and the user's from `profiles/` in the config folder.

    A user's file replaces the one of the same name that comes with edgelfm. Raises `ProfileError` for a malformed file.
    Files are read again only when they change.
    """
    from . import profile_files

    found: dict[str, Profile] = {}
    for folder in (profile_files.shipped_folder(), profile_files.user_folder(environment)):
        found.update((profile.id, profile) for profile in profile_files.read_folder(folder))
    return found


def match(
    host: Host,
    profiles: Mapping[str, Profile] | None = None,
    override: str | Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
) -> Match:
    """The profile for `host`: the one named by `override`, else by `EDGELFM_PROFILE`, else the most specific that fits.

    A name is an id ("raspberry-pi-5") or a YAML file ("pi.yaml"). A profile fits if all its rules hold. Of two that
    fit, the more specific is the one that demands more facts of the most telling kind on which they differ. The kinds,
    from the most telling: a memory limit, WSL, a container (they hide the machine behind them); the board by name,
    device tree or chip; the family of boards; the GPU; the CPU model; the NPU; the size of memory; CPU features; CPU
    vendor; operating system; architecture. So a rule about the board outweighs any number about the CPU, and a profile
    for any machine (`match: {}`) is the last resort.

    Raises `ProfileError` if two profiles fit equally well, and `ProfileNotFound` if none has that name or fits.
    """
    surroundings = os.environ if environment is None else environment
    for name, said in ((override, "profile={!r}"), (surroundings.get("EDGELFM_PROFILE"), "EDGELFM_PROFILE={}")):
        if name:
            chosen = _named(name, profiles, surroundings)
            return Match(chosen.for_host(host), "chosen by " + said.format(str(name)))
    fitting = [
        (profile.specificity, profile, facts)
        for profile in (load(surroundings) if profiles is None else profiles).values()
        if (facts := profile.facts(host)) is not None
    ]
    if not fitting:
        raise ProfileNotFound("no profile fits this machine", hint="name one: profile='generic', or write a YAML file")
    best = max(specificity for specificity, _, _ in fitting)
    (profile, facts), *others = ((profile, facts) for specificity, profile, facts in fitting if specificity == best)
    if others:
        other = others[0][0]
        raise ProfileError(
            f"profiles {profile.id!r} ({profile.path}) and {other.id!r} ({other.path}) fit this machine equally well: "
            f"{profile.describes}; {other.describes}",
            hint=f"add a rule to one of them, or choose: EDGELFM_PROFILE={profile.id}",
        )
    return Match(profile.for_host(host), ", ".join(facts) or "nothing more specific fits this machine")


def validate(path: str | Path) -> list[Problem]:
    """Everything that is wrong with the profile at `path`, or with all profiles in the folder `path`. Never raises."""
    from . import profile_files

    return profile_files.problems(Path(path))


def _named(name: str | Path, profiles: Mapping[str, Profile] | None, environment: Mapping[str, str]) -> Profile:
    from . import profile_files

    path = Path(name).expanduser()
    if isinstance(name, Path) or path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        if not path.is_file():
            raise ProfileNotFound(f"there is no profile file {path}", hint="list the profiles: edgelfm profiles")
        return profile_files.read_profile(path)
    known = load(environment) if profiles is None else profiles
    if name not in known:
        from ..yamlfile import did_you_mean

        raise ProfileNotFound(
            f"there is no profile {name!r}{did_you_mean(name, known)}", hint="list the profiles: edgelfm profiles"
        )
    return known[name]


def _facts(rules: tuple[Rule, ...], host: Host) -> list[str] | None:
    facts: list[str] = []
    for rule in rules:
        if (fact := rule.fact(host)) is None:
            return None
        facts.append(fact)
    return facts
