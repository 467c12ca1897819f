"""How well does a run of two configurations predict the speed of four others? Six files, measured in turns.

    python scripts/bench_calibration.py [--rounds 7] [--tokens 32] [--folder shapes] [--json]

Decode is measured at the depth that plans speak of, on the files of make_shapes.py: two sizes in three quantizations,
all in memory at once (some 5 GB). Two of them are made records, and `plan` with these records must tell the other four
within 15 %. The pair that people are likely to have is shown in full, then every pair whose sizes lie apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from make_shapes import QUANTIZATIONS, SHAPES, shapes_folder
from rich.console import Console
from rich.progress import track
from rich.table import Table

from edgelfm.backends import registry
from edgelfm.backends.base import Session
from edgelfm.hardware import inspect, profiles
from edgelfm.models import names
from edgelfm.models.entry import ModelEntry, Sampling
from edgelfm.planning import plan, require
from edgelfm.planning.plan import Candidate, Request
from edgelfm.planning.recording import make_record
from edgelfm.planning.records import Record, Timing
from edgelfm.planning.speed import DEPTH, midpoint

BAR = 0.15
SHOWN = ("LFM2-350M-Q4_0", "LFM2-1.2B-Q8_0")  # calibrated on these
APART = 1.5  # a pair is reasonable from this ratio of bytes per token on


@dataclass(slots=True)
class Subject:
    """One file, its session, and what was measured."""

    name: str
    entry: ModelEntry
    candidate: Candidate
    session: Session
    prefill: float = 0.0  # seconds per token
    decode: list[float] = field(default_factory=list)  # seconds per token, one a round

    def run(self, tokens: int) -> None:
        """One round: a fresh continuation of the same prompt, whose state is kept from round to round."""
        prompt = [100 + index % 1000 for index in range(DEPTH)]
        *_, last = self.session.generate(prompt, Sampling(), max_tokens=tokens)
        timings = last.timings
        if timings is None or timings.completion_tokens < tokens:
            raise SystemExit(f"{self.name} ended its reply before {tokens} tokens")
        if not self.prefill:
            self.prefill = timings.prefill_seconds / DEPTH
        self.decode.append(timings.decode_seconds / (timings.completion_tokens - 1))

    @property
    def seconds(self) -> float:
        """Median seconds per token."""
        return statistics.median(self.decode)


def opened(host: object, match: object, path: Path) -> Subject:
    entry = names.resolve(path, offline=True)
    request = Request(model=entry, context=2 * DEPTH, backend="llama.cpp")
    candidate = require(plan(host, match, (), request))  # type: ignore[arg-type]
    session = registry.get("llama.cpp")(candidate, {"weights": path})
    return Subject(path.stem, entry, candidate, session)


def record(host: object, one: Subject) -> Record:
    low, median, high = statistics.quantiles(one.decode, n=4)
    prefill = Timing(one.prefill, one.prefill, one.prefill, 1)
    return make_record(
        host,  # type: ignore[arg-type]
        one.candidate,
        decode=Timing(median, low, high, len(one.decode)),
        prefill=prefill,
        prompt=DEPTH,
    )


def errors(
    host: object, match: object, subjects: Sequence[Subject], known: Sequence[Subject]
) -> dict[str, dict[str, float | bool]]:
    """What a plan with records of `known` says about the rest, beside what was measured."""
    records = [record(host, one) for one in known]
    told: dict[str, dict[str, float | bool]] = {}
    for one in (one for one in subjects if one not in known):
        request = Request(model=one.entry, context=2 * DEPTH, backend="llama.cpp")
        speed = require(plan(host, match, (), request, records=records)).decode  # type: ignore[arg-type]
        assert speed.grade == "calibrated"
        middle, true = midpoint(speed) or 0.0, 1 / one.seconds
        low, high = speed.low or 0.0, speed.high or 0.0
        told[one.name] = {
            "measured": true, "predicted": middle, "low": low, "high": high,
            "error": middle / true - 1, "in_range": low <= true <= high,
        }  # fmt: skip
    return told


def worst(told: dict[str, dict[str, float | bool]]) -> float:
    return max(abs(one["error"]) for one in told.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = options.folder or shapes_folder()
    paths = [folder / f"{shape.name}-{kind}.gguf" for shape in SHAPES for kind in QUANTIZATIONS]
    if missing := [str(path) for path in paths if not path.exists()]:
        raise SystemExit(f"not there: {', '.join(missing)}; write them with: python scripts/make_shapes.py")
    host = inspect()
    match = profiles.match(host)
    subjects = [opened(host, match, path) for path in paths]
    to_stderr = Console(stderr=True)
    for _ in track(range(options.rounds + 1), "Measuring", console=to_stderr, disable=options.json):
        for one in subjects:
            one.run(options.tokens)
    for one in subjects:
        del one.decode[0]  # the first round came after a prefill, with cold caches
        one.session.close()
    shown = errors(host, match, subjects, [one for one in subjects if one.name in SHOWN])
    pairs = {}
    for pair in combinations(subjects, 2):
        sizes = sorted(record(host, one).bytes_per_token for one in pair)
        if sizes[1] >= APART * sizes[0]:
            pairs[" + ".join(one.name for one in pair)] = errors(host, match, subjects, pair)
    if options.json:
        samples = {one.name: one.decode for one in subjects}
        print(json.dumps({"seconds_per_token": samples, "calibrated_on": SHOWN, "predicted": shown, "pairs": pairs}))
        return 0 if worst(shown) <= BAR else 1
    table = Table("held back", "measured", "predicted", "range", "error", title=f"Calibrated on {' and '.join(SHOWN)}")
    for name, one in shown.items():
        limits = f"{one['low']:.1f}-{one['high']:.1f}" + ("" if one["in_range"] else " (missed)")
        table.add_row(name, f"{one['measured']:.1f}", f"{one['predicted']:.1f}", limits, f"{one['error']:+.1%}")
    ranked = sorted(pairs, key=lambda pair: worst(pairs[pair]))
    held = [one["in_range"] for told in pairs.values() for one in told.values()]
    console = Console()
    console.print(table)
    console.print(f"worst of the four: {worst(shown):.1%}; the bar is {BAR:.0%}")
    console.print(f"of {len(pairs)} pairs whose sizes lie apart, the worst of the four held back is:")
    for label, pair in (("in the best pair", ranked[0]), ("in the median pair", ranked[len(ranked) // 2]),
                        ("in the worst pair", ranked[-1])):  # fmt: skip
        console.print(f"  {label} {worst(pairs[pair]):.1%} ({pair})")
    console.print(f"ranges that held the measured speed: {sum(held)} of {len(held)}; promised are 9 in 10")
    return 0 if worst(shown) <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
