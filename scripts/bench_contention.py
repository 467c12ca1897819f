"""What does a busy neighbour cost? Decode speed of the starter, quiet and with one core taken, by OpenMP's patience.

    python scripts/bench_contention.py [--rounds 5] [--tokens 48]

Each run is a fresh process, the settings take turns, and the medians are printed. "edgelfm" is the setting that edgelfm
makes; "default" is what GNU OpenMP does when nobody says anything.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys

from rich.console import Console
from rich.table import Table

RUN = """
import sys, edgelfm
with edgelfm.load("starter", progress=False) as lfm:
    reply = lfm.chat("Tell me a story.", temperature=0, max_tokens=int(sys.argv[1]))
    print(reply.timings.decode_tokens_per_second)
"""
PATIENCE = {"edgelfm": {}, "default": {"GOMP_SPINCOUNT": "300000"}}  # libgomp's default where no policy is set
TIMEOUT_SECONDS = 300


def decode_speed(patience: str, tokens: int) -> float:
    environment = {**os.environ, **PATIENCE[patience]}
    run = [sys.executable, "-c", RUN, str(tokens)]
    done = subprocess.run(run, env=environment, capture_output=True, text=True, check=True, timeout=TIMEOUT_SECONDS)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    speeds: dict[tuple[str, str], list[float]] = {}
    for neighbour in ("quiet", "one core busy"):
        busy = None
        if neighbour != "quiet":
            busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            for _ in range(options.rounds):
                for patience in PATIENCE:
                    speeds.setdefault((neighbour, patience), []).append(decode_speed(patience, options.tokens))
        finally:
            if busy is not None:
                busy.kill()
                busy.wait()
    if options.json:
        print(json.dumps([{"neighbour": n, "patience": p, "tokens_per_second": s} for (n, p), s in speeds.items()]))
        return
    table = Table("neighbour", "OpenMP patience", "median tokens/s", "lowest", "highest", title="Decode, starter")
    for (neighbour, patience), sample in speeds.items():
        table.add_row(neighbour, patience, *(f"{v:.1f}" for v in (statistics.median(sample), min(sample), max(sample))))
    Console().print(table)


if __name__ == "__main__":
    main()
