"""Is the machine being slowed down, and by what? Heat, a weak power supply, or a limit that the firmware keeps.

A Raspberry Pi says so in one word of bits. Elsewhere the kernel counts events (Intel) or shows a cooling device that
holds the clock down. Counters only grow, so whether something happens now takes two readings: see `began`.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .files import ROOT, find, read_int, read_text

#: Bits of `get_throttled` (Raspberry Pi documentation, vcgencmd); the same 16 places higher: has happened since boot.
_PI = ((0, "under-voltage"), (1, "clock capped"), (2, "throttled"), (3, "soft temperature limit"))
_PI_FILE = "/sys/devices/platform/soc*/*firmware*/get_throttled"  # "soc" or "soc@107c000000", by model
_VCGENCMD = "/usr/bin/vcgencmd"


@dataclass(frozen=True, slots=True)
class Throttle:
    """What slows the machine down."""

    now: tuple[str, ...]  # reasons that hold at this moment; empty if none does
    since_boot: tuple[str, ...]  # reasons that have held at some time
    events: int | None  # of a counter that only grows, None where there is none
    source: str  # where it was read


def read_throttle(root: Path = ROOT, ask: Callable[[], str | None] | None = None) -> Throttle | None:
    """What is known of throttling, None where nothing says.

    `ask` gives what `vcgencmd get_throttled` prints, for a Raspberry Pi whose kernel shows no file; the default asks
    the program on this machine.
    """
    for path in find(root, _PI_FILE):
        if (bits := parse_pi(read_text(root, path) or "")) is not None:
            return _pi(bits, path)
    if (root / _VCGENCMD.lstrip("/")).exists():
        told = (ask or _ask_vcgencmd)()
        if (bits := parse_pi((told or "").partition("=")[2])) is not None:
            return _pi(bits, "vcgencmd")
    return _cooling(root)


def began(before: Throttle | None, after: Throttle | None) -> bool | None:
    """Whether the machine was slowed down at either reading or between the two. None if neither says."""
    if before is None and after is None:
        return None
    if any(one is not None and one.now for one in (before, after)):
        return True
    if before is None or after is None or before.events is None or after.events is None:
        return False
    return after.events > before.events


def parse_pi(text: str) -> int | None:
    """The bits of `get_throttled`: "50005" in the file of the kernel, "0x50005" from vcgencmd."""
    match = re.fullmatch(r"(?:0x)?([0-9a-f]{1,8})", text.strip(), re.IGNORECASE | re.ASCII)
    return int(match[1], 16) if match else None


def _pi(bits: int, source: str) -> Throttle:
    now = tuple(name for bit, name in _PI if bits >> bit & 1)
    ever = tuple(name for bit, name in _PI if bits >> (bit + 16) & 1)
    return Throttle(now, ever, None, source)


def _cooling(root: Path) -> Throttle | None:
    counts = [
        count
        for path in find(root, "/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count")
        if (count := read_int(root, path)) is not None
    ]
    held: list[str] = []
    devices = 0
    for folder in find(root, "/sys/class/thermal/cooling_device*"):
        kind = (read_text(root, f"{folder}/type") or "").lower()
        state = read_int(root, f"{folder}/cur_state")
        if state is None or not kind.startswith(("cpufreq", "thermal-cpufreq", "devfreq")):
            continue  # fans and displays may be as high as they like
        devices += 1
        if state > 0:
            held.append(f"{kind} at step {state}")
    if not counts and not devices:
        return None
    events = sum(counts) if counts else None
    source = "thermal_throttle counters" if counts else "cooling devices"
    return Throttle(tuple(held), ("heat",) if events else (), events, source)


def _ask_vcgencmd() -> str | None:
    try:
        done = subprocess.run(
            [_VCGENCMD, "get_throttled"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=2,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout
