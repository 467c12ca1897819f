"""Which YAML profile describes this machine, and why that one?

A profile is data that people read and edit: one file a board or a class of machines, in `profiles/`. This module defines
what a profile may say and finds the one that fits best. `profile_files` reads and checks the YAML.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ThreadPolicy:
    """How many threads to compute with."""

    cores: str = "performance"     # "performance", "physical" or "all": which cores count
    maximum: int | None = None     # never more than this, for decode
    prefill_maximum: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SpeedReference:
    """A published speed for this class of machine. Told as theirs, with the source."""

    model: str                     # catalogue id
    quantization: str
    runtime: str
    decode: float | None = None    # tokens per second
    prefill: float | None = None   # tokens per second
    source: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """One board or class of machines."""

    id: str                        # file name without .yaml
    name: str                      # "Raspberry Pi 5, 8 GB"
    reserve_bytes: int             # memory left to the system and to other programs
    backends: tuple[str, ...]      # best first
    quantizations: tuple[str, ...]  # llama.cpp names, best first; other backends map by bits
    threads: ThreadPolicy = field(default_factory=ThreadPolicy)
    bandwidth_bytes_per_second: float | None = None  # expected of main memory (or unified GPU memory)
    bandwidth_source: str = ""
    references: tuple[SpeedReference, ...] = ()
    notes: tuple[str, ...] = ()
    path: str = ""                 # where it was read


@dataclass(frozen=True, slots=True)
class Match:
    """The profile that was taken and why."""

    profile: Profile
    reason: str                    # "board family raspberry-pi, soc bcm2712, 8 GB" or "chosen by EDGELFM_PROFILE"
