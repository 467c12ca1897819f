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
#: Kinds of cooling devices that hold a clock down.
_HOLDS_BACK = ("cpufreq", "thermal-cpufreq", "devfreq")


@dataclass(frozen=True, slots=True)
class Throttle:
    """What slows the machine down."""

    now: tuple[str, ...]  # reasons that hold at this moment; empty if none does
    since_boot: tuple[str, ...]  # reasons that have held at some time
    events: int | None  # of a counter that only grows, None where there is none
    source: str  # where it was read


class Signs:
    """What would tell of throttling, looked for once and read many times.

    `ask` gives what `vcgencmd get_throttled` prints, for a Raspberry Pi whose kernel shows no file; the default asks
    the program on this machine. `asks` says that reading starts that program.
    """

    def __init__(self, root: Path = ROOT, ask: Callable[[], str | None] | None = None) -> None:
        self._root = root
        self._ask = ask or _ask_vcgencmd
        self._files = find(root, _PI_FILE)
        self.asks = not self._files and (root / _VCGENCMD.lstrip("/")).exists()
        self._counters = find(root, "/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count")
        self._cooling = [
            (kind, f"{folder}/cur_state")
            for folder in find(root, "/sys/class/thermal/cooling_device*")
            # Fans and displays may be as high as they like.
            if (kind := (read_text(root, f"{folder}/type") or "").lower()).startswith(_HOLDS_BACK)
        ]

    def read(self) -> Throttle | None:
        """What is known now, None where nothing says."""
        for path in self._files:
            if (bits := parse_pi(read_text(self._root, path) or "")) is not None:
                return _pi(bits, path)
        if self.asks and (bits := parse_pi((self._ask() or "").partition("=")[2])) is not None:
            return _pi(bits, "vcgencmd")
        return self._held()

    def _held(self) -> Throttle | None:
        read = (read_int(self._root, path) for path in self._counters)
        counts = [count for count in read if count is not None]
        states = [(kind, state) for kind, path in self._cooling if (state := read_int(self._root, path)) is not None]
        if not counts and not states:
            return None
        events = sum(counts) if counts else None
        source = "thermal_throttle counters" if counts else "cooling devices"
        held = tuple(f"{kind} at step {state}" for kind, state in states if state > 0)
        return Throttle(held, ("heat",) if events else (), events, source)


def read_throttle(root: Path = ROOT, ask: Callable[[], str | None] | None = None) -> Throttle | None:
    """What is known of throttling, None where nothing says. For `ask` see `Signs`."""
    return Signs(root, ask).read()


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
