"""How long does it take to get from `import edgelfm` to a plan? Prints times against what we allow ourselves.

    python scripts/bench_plan.py

Import is timed in fresh interpreters, best of several, because the first one also warms the disk cache. `plan` is timed
on a fresh catalogue with cold caches, then again, over every task, as a program would call it that plans once.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

IMPORT_SECONDS, INSPECT_SECONDS, PLAN_SECONDS = 0.120, 0.300, 0.050
TIMED_IMPORT = "import time; t = time.perf_counter(); import edgelfm; print(time.perf_counter() - t)"
TIMED_PLAN = """
import time
from edgelfm.hardware import inspect, profiles
from edgelfm.models import catalog
from edgelfm.planning import plan
host = inspect()
match = profiles.match(host)
entries = tuple(catalog.load())
t = time.perf_counter()
plan(host, match, entries)
print(time.perf_counter() - t)
"""


def in_fresh_interpreter(code: str, runs: int = 5) -> float:
    """Seconds that `code` prints, the best of `runs`."""
    command = [sys.executable, "-c", code]
    return min(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(runs))


def seconds(call: Callable[[], object], runs: int = 5) -> float:
    """The best of `runs` calls."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


def line(what: str, taken: float, allowed: float | None = None) -> bool:
    verdict = (
        "" if allowed is None else f"   {'ok' if taken <= allowed else 'TOO SLOW'}, at most {allowed * 1000:.0f} ms"
    )
    print(f"{what:<44}{taken * 1000:8.1f} ms{verdict}")
    return allowed is None or taken <= allowed


def main() -> int:
    good = line("import edgelfm, fresh interpreter", in_fresh_interpreter(TIMED_IMPORT), IMPORT_SECONDS)
    good &= line("plan, first in a fresh interpreter", in_fresh_interpreter(TIMED_PLAN), PLAN_SECONDS)

    from edgelfm.hardware import inspect, profiles
    from edgelfm.models import catalog
    from edgelfm.planning import plan
    from edgelfm.planning.plan import Request

    host = inspect()  # measures memory bandwidth, once a boot
    good &= line("inspect, bandwidth known", seconds(inspect), INSPECT_SECONDS)
    line("match a profile", seconds(lambda: profiles.match(host)))
    entries = tuple(catalog.load())
    match = profiles.match(host)
    print(f"{len(entries)} models in {sum(len(entry.artifacts) for entry in entries)} artifacts")
    for task in ("chat", "agent", "reason", "extract", "vision", "embed"):
        request = Request(task=task)  # type: ignore[arg-type]
        good &= line(f"plan, task {task}", seconds(lambda r=request: plan(host, match, entries, r)), PLAN_SECONDS)
    for entry in (entry for entry in entries if entry.id in ("lfm2.5-1.2b-instruct", "lfm2-24b-a2b")):
        request = Request(model=entry)
        good &= line(f"plan, {entry.id}", seconds(lambda r=request: plan(host, match, entries, r)), PLAN_SECONDS)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
