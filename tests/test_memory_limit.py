"""Under a real memory limit the planned model runs and survives, and what would not fit is refused, not killed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgelfm.units import MIB

CODE = """
import json, os, sys
open(sys.argv[1], "w").write(str(os.getpid()))
import edgelfm
try:
    with edgelfm.load("starter", progress=False) as lfm:
        reply = lfm.chat("word " * 300, max_tokens=8)  # every buffer is touched
        told = {"context": lfm.context, "planned": lfm.candidate.memory.total, "tokens": reply.usage.total_tokens}
        told["budget"] = lfm.plan.budget.usable_bytes
except edgelfm.EdgelfmError as error:
    told = {"error": type(error).__name__, "message": error.message, "hint": error.hint}
# Not ru_maxrss: a child inherits the peak of the process that started it.
told["peak"] = next(int(l.split()[1]) * 1024 for l in open("/proc/self/status") if l.startswith("VmHWM"))
print(json.dumps(told))
"""


def run_in(group: Path) -> dict[str, Any]:
    command = [sys.executable, "-c", CODE, str(group / "cgroup.procs")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"killed or crashed: {done.returncode} {done.stderr[-400:]}"
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_a_model_that_was_planned_for_a_tight_limit_lives_within_it(memory_group: Callable[[int], Path]) -> None:
    told = run_in(memory_group(420 * MIB))
    assert told["planned"] <= told["budget"] < 420 * MIB
    assert told["peak"] <= 420 * MIB
    assert told["context"] < 8192  # what it takes on a machine with room
    assert told["tokens"] > 300


def test_what_would_be_killed_is_refused(memory_group: Callable[[int], Path]) -> None:
    told = run_in(memory_group(200 * MIB))
    assert told["error"] == "DoesNotFit"
    assert told["peak"] < 150 * MIB
    assert told["hint"]
