"""What does a busy neighbour cost? Decode speed of the starter beside nobody, a busy loop, and another model.

    python scripts/bench_contention.py [--rounds 5] [--tokens 48]

Each run is a fresh process, settings and neighbours take turns, and the medians are printed. "edgelfm" is the patience
that edgelfm asks of OpenMP; "default" is what GNU OpenMP does when nobody says anything.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table

RUN = """
import sys
if sys.argv[2] == "default":
    import llama_cpp  # loads OpenMP before edgelfm has said anything
import edgelfm
with edgelfm.load("starter", progress=False) as lfm:
    reply = lfm.chat("Tell me a story.", temperature=0, max_tokens=int(sys.argv[1]))
    print(reply.timings.decode_tokens_per_second)
"""
NEIGHBOURS = ("nobody", "a busy loop", "another model")
PATIENCE = ("edgelfm", "default")
TIMEOUT_SECONDS = 300
ENDLESS = 5000  # tokens that the other model writes unless it is stopped before


def start(patience: str, tokens: int) -> subprocess.Popen[str]:
    silent = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    command = [sys.executable, "-c", RUN, str(tokens), patience]
    return subprocess.Popen(command, env=silent, stdout=subprocess.PIPE, text=True)


@contextmanager
def beside(neighbour: str, patience: str) -> Iterator[None]:
    if neighbour == "nobody":
        yield
        return
    loop = [sys.executable, "-c", "while True: pass"]
    other = subprocess.Popen(loop) if neighbour == "a busy loop" else start(patience, ENDLESS)
    try:
        yield
    finally:
        other.kill()
        other.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    speeds: dict[tuple[str, str], list[float]] = {(n, p): [] for n in NEIGHBOURS for p in PATIENCE}
    for _ in range(options.rounds):
        for (neighbour, patience), sample in speeds.items():
            with beside(neighbour, patience):
                out, _ = start(patience, options.tokens).communicate(timeout=TIMEOUT_SECONDS)
            sample.append(float(out))
    if options.json:
        print(json.dumps([{"neighbour": n, "patience": p, "tokens_per_second": s} for (n, p), s in speeds.items()]))
        return
    table = Table("neighbour", "OpenMP patience", "median tokens/s", "lowest", "highest", title="Decode, starter")
    for (neighbour, patience), sample in speeds.items():
        table.add_row(neighbour, patience, *(f"{v:.1f}" for v in (statistics.median(sample), min(sample), max(sample))))
    Console().print(table)


if __name__ == "__main__":
    main()
