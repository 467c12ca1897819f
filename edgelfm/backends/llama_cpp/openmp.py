"""The threads that OpenMP keeps for each thread that computes, and when to let them go.

libgomp gives every computing thread a team of its own and keeps it. As soon as all teams together have more threads
than there are cores, none spins while it waits for work, though only one team has any: a reply in a second thread, as
async code and widgets have it, then runs at a third of its speed (2 cores, SmolLM2: 33 tokens/s instead of 87). Making
a team anew takes less than a millisecond, so nobody keeps one between replies.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys
from collections.abc import Callable
from pathlib import Path

_SOFT = 1  # omp_pause_soft: give threads back, keep settings (OpenMP 5.0, section 3.2.44)


def rest() -> None:
    """Let go of the team of the thread that calls this. Nothing happens where the runtime has no OpenMP of GNU's."""
    if "llama_cpp" in sys.modules and (pause := _pause()) is not None:  # before, there is nothing to be found
        pause(_SOFT)


@functools.cache
def _pause() -> Callable[[int], int] | None:
    """`omp_pause_resource_all` of the libgomp in this process. Asked once, after llama.cpp has loaded it."""
    if sys.platform != "linux":
        return None
    found: list[Callable[[int], int]] = []
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
        # Other libraries bring copies of their own. Which one llama.cpp uses need not be known: to rest where there is
        # no team costs nothing.
        for path in sorted({line.split(maxsplit=5)[5] for line in lines if "/libgomp" in line}):
            if hasattr(library := ctypes.CDLL(path), "omp_pause_resource_all"):
                found.append(_typed(library.omp_pause_resource_all))
    return (lambda kind: sum(one(kind) for one in found)) if found else None


def _typed(pause: Callable[[int], int]) -> Callable[[int], int]:
    pause.argtypes, pause.restype = [ctypes.c_int], ctypes.c_int  # type: ignore[attr-defined]
    return pause
