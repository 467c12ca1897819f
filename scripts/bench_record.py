"""What does recording cost, and does a trace tell the truth? The starter with and without it, and against the system.

    python scripts/bench_record.py [--rounds 9] [--tokens 128] [--json FILE]

Cost: processor time of the recorder's thread at four samples a second, on an idle and on a busy model, and tokens per
second of a streamed reply with and without a recording, taking turns in one process; a ratio is the median over rounds
of neighbours in time. Truth: the peak of a recorded process beside `/usr/bin/time -v` (the same figure from `wait4`
where that is not installed), and the decode speed of a trace beside `lfm.bench(quick=True)` on the same model: of the
very tokens of the bench, and of replies right after it. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import edgelfm
from edgelfm.bench.statistics import find
from edgelfm.monitor.speed import stretches

CORE = 0.01  # of a core that recording may cost
SPEED = 0.98  # of the speed without it; less cannot be told from noise
MEMORY, DECODE = 0.02, 0.05  # by how much a trace may differ
IDLE = 10.0  # seconds
DEPTH = 128  # tokens of prompt, as in a quick bench
QUESTION = "Tell me a long story about a fox who walks from the sea to the mountains, and whom it meets on the way."
WORDS = "stone river garden winter morning paper window bridge "
RECORDED = """
import sys, edgelfm
with edgelfm.record(path=sys.argv[1]) as trace:
    with edgelfm.load("starter", progress=False, tune=False) as lfm:
        trace.watch(lfm)
        lfm.chat("Tell me a story. " * 30, max_tokens=64)
"""
MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    what: str
    figure: str
    against: str
    bar: str
    met: bool


def thread_share(lfm: edgelfm.Model, *, busy: bool) -> float:
    """Share of a core that the recorder's thread takes, by its own clock."""
    spent: list[tuple[float, float]] = []
    with edgelfm.record(lfm) as trace:
        # On the thread itself; the first second holds what is done once.
        trace._recorder.on_sample(lambda sample: spent.append((sample.reading.at, time.thread_time())))
        if busy:
            lfm.chat(QUESTION, max_tokens=400, temperature=0)
        else:
            threading.Event().wait(IDLE)
    spent = [one for one in spent[:-1] if one[0] > 1]  # the last look is on our own thread
    return (spent[-1][1] - spent[0][1]) / (spent[-1][0] - spent[0][0])


def streamed(lfm: edgelfm.Model, tokens: int) -> float:
    """Tokens per second after the first, as a program that reads the stream sees it."""
    stream = lfm.stream(QUESTION, max_tokens=tokens, temperature=0)
    for _ in stream:
        pass
    return stream.reply.timings.decode_tokens_per_second or 0.0


def cost_of_speed(lfm: edgelfm.Model, rounds: int, tokens: int) -> list[tuple[float, float]]:
    """Without and with a recording, round after round, the order turned round each time."""
    pairs = []
    for number in range(rounds):
        speeds = {}
        for recorded in (False, True) if number % 2 else (True, False):
            if recorded:
                with edgelfm.record(lfm):
                    speeds[True] = streamed(lfm, tokens)
            else:
                speeds[False] = streamed(lfm, tokens)
        pairs.append((speeds[False], speeds[True]))
    return pairs


def peaks(folder: Path) -> tuple[int, int, str]:
    """Bytes: what the trace of a whole process says, what the system says, and who the system is."""
    path = folder / "peak.jsonl"
    command = [sys.executable, "-c", RECORDED, str(path)]
    program = shutil.which("time", path="/usr/bin:/bin")
    if program:
        told = subprocess.run([program, "-v", *command], check=True, capture_output=True, text=True).stderr
        match = re.search(r"Maximum resident set size \(kbytes\): (\d+)", told)
        assert match is not None
        system, name = int(match[1]) * 1024, f"{program} -v"
    else:
        child = subprocess.Popen(command)
        _, status, usage = os.wait4(child.pid, 0)
        assert status == 0
        system, name = usage.ru_maxrss * 1024, "wait4"
    trace = edgelfm.Trace.read(path)
    return trace.summary().peak_bytes or 0, system, name


def decode_speeds(lfm: edgelfm.Model, rounds: int) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Tokens per second of a quick bench and of a trace: of replies right after it, and of its own tokens."""
    replies, same = [], []
    prompt = lfm._session.detokenize(lfm._session.tokenize(WORDS * DEPTH, special=False)[:DEPTH])
    for number in range(rounds):
        with edgelfm.record(lfm) as trace:
            result = lfm.bench(quick=True, progress=False).results[0]
        series = find(result, "decode")
        assert series is not None
        bench = statistics.median(series.tokens / one.seconds for one in series.repetitions)
        firsts = [event.at for event in trace.events if event.kind == "first_token"]
        parts = [part for part in stretches(trace.tokens, firsts) if len(part) > series.tokens]
        same.append((bench, statistics.median((len(part) - 1) / (part[-1] - part[0]) for part in parts)))
        with edgelfm.record(lfm) as trace:
            for place in range(3):
                lfm.complete(f"{number} {place} {prompt}", max_tokens=series.tokens + 1, temperature=0)
        replies.append((bench, trace.summary().decode_tokens_per_second or 0.0))
    return replies, same


def median_ratio(pairs: list[tuple[float, float]]) -> float:
    return statistics.median(after / before for before, after in pairs)


def _speed(what: str, pairs: list[tuple[float, float]], beside: str, bar: float, *, below_only: bool = False) -> Row:
    """Two speeds of each round, the recorded one second."""
    apart = median_ratio(pairs) - 1
    other, recorded = (statistics.median(one) for one in zip(*pairs, strict=True))
    return Row(
        what,
        f"{recorded:.1f} tokens/s",
        f"{beside} {other:.1f}: {apart:+.1%}",
        f"{'≥ -' if below_only else '± '}{bar:.0%}",
        apart >= -bar if below_only else abs(apart) <= bar,
    )


def measure(rounds: int, tokens: int) -> tuple[list[Row], dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EDGELFM_CACHE"] = folder
        ours, system, name = peaks(Path(folder))
        with edgelfm.load("starter", progress=False, tune=False) as lfm:
            streamed(lfm, tokens)  # whatever the first reply pays for
            shares = {busy: thread_share(lfm, busy=busy) for busy in (False, True)}
            speeds = cost_of_speed(lfm, rounds, tokens)
            replies, same = decode_speeds(lfm, max(3, rounds // 2))
    for busy, share in shares.items():
        label = "recorder's thread, model " + ("at work" if busy else "idle")
        rows.append(Row(label, f"{share:.2%} of a core", "", f"< {CORE:.0%}", share < CORE))
    rows.append(_speed("streaming", speeds, "without", 1 - SPEED, below_only=True))
    off = ours / system - 1
    beside = f"{name} {system / MIB:.1f} MiB: {off:+.2%}"
    rows.append(Row("peak memory", f"{ours / MIB:.1f} MiB", beside, f"± {MEMORY:.0%}", abs(off) <= MEMORY))
    rows.append(_speed("decode, the bench's own tokens", same, "bench", DECODE))
    rows.append(_speed("decode, replies after the bench", replies, "bench", DECODE))
    raw = {
        "share_of_a_core": {"idle": shares[False], "busy": shares[True]},
        "tokens_per_second": [{"without": one, "with": other} for one, other in speeds],
        "peak_bytes": {"trace": ours, "system": system, "by": name},
        "decode_of_replies": [{"bench": one, "trace": other} for one, other in replies],
        "decode_of_the_same": [{"bench": one, "trace": other} for one, other in same],
    }
    return rows, raw


def main() -> int:
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    rows, raw = measure(options.rounds, options.tokens)
    table = Table("", "recorded", "beside", "bar", "", title="Recording the starter")
    for row in rows:
        table.add_row(row.what, row.figure, row.against, row.bar, "[green]met" if row.met else "[red]missed")
    Console().print(table)
    if options.json:
        raw["rows"] = [asdict(row) for row in rows]
        options.json.write_text(json.dumps(raw, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
