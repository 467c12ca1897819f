"""Does `tune` find the best? An exhaustive grid against what it chose, on a quiet machine and with one core kept busy.

    python scripts/bench_tuning.py [--rounds 2] [--seconds 20] [--model starter --model PATH] [--json]

The grid is threads x flash attention x micro-batch, measured in interleaved rounds. Of a dozen noisy medians the best
is partly luck, so it then meets what was chosen in a duel of its own, turn by turn, and the medians of that are
compared: 1.00 is as fast as the best of the grid. The bar is 0.97 for decode and for prefill. Decode is that of 16
tokens after the prompt. Flash attention is one choice for both phases, since they share one context; where it suits
them differently, one must do without its best. So each phase meets two points: the best of the grid, and the best that
has the same attention, which is what the bar is about.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from os import environ
from pathlib import Path
from statistics import median
from typing import Any

from make_shapes import shapes_folder

import edgelfm
from edgelfm.backends.llama_cpp.rig import Layout, Rig, rig
from edgelfm.tuning import space
from edgelfm.tuning.tune import ASKED_SECONDS, tune

BAR = 0.97
WRITTEN = 16  # tokens
DUELS = 7
CONDITIONS = ("quiet", "one core busy")

Point = tuple[int, Layout]  # threads, and the rest
Measure = Callable[[Rig, Point, int], float]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One model in one condition. Medians in tokens per second."""

    model: str
    condition: str
    tune_seconds: float
    cores_taken: int
    chosen: dict[str, Any]
    decode: float
    decode_best: float
    decode_best_at: str
    prefill: float
    prefill_best: float
    prefill_best_at: str
    decode_any: float  # share of the best of the whole grid
    decode_any_at: str
    prefill_any: float
    prefill_any_at: str

    @property
    def decode_share(self) -> float:
        return self.decode / self.decode_best

    @property
    def prefill_share(self) -> float:
        return self.prefill / self.prefill_best


@contextmanager
def beside(condition: str) -> Iterator[None]:
    """A child that spins, if that is the condition."""
    if condition == "quiet":
        yield
        return
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        child.kill()
        child.wait()


def read(bench: Rig, point: Point, prompt: int) -> float:
    """Seconds per token of a prompt."""
    threads, layout = point
    return bench.prefill(prompt, layout, threads=threads) / prompt


def write(bench: Rig, point: Point, prompt: int) -> float:
    """Seconds per token after a prompt."""
    threads, layout = point
    return bench.decode(WRITTEN, layout, threads=threads, depth=prompt) / WRITTEN


def best(
    measure: Measure, bench: Rig, grid: Sequence[Point], prompt: int, rounds: int, flash: bool, bar: Any
) -> tuple[Point, Point]:
    """The point of the grid with the least median: of all, and of those with that attention."""
    taken: dict[Point, list[float]] = {point: [] for point in grid}
    for number in range(rounds):
        for point in grid if number % 2 == 0 else reversed(grid):
            taken[point].append(measure(bench, point, prompt))
            bar.update(0.5)
    order = sorted(grid, key=lambda point: median(taken[point]))
    return order[0], next(point for point in order if point[1].flash_attention == flash)


def duel(measure: Measure, bench: Rig, one: Point, other: Point, prompt: int) -> tuple[float, float]:
    """Medians of two points in tokens per second, measured in turns."""
    taken: tuple[list[float], list[float]] = ([], [])
    if one == other:  # it would meet itself
        seconds = median(measure(bench, one, prompt) for _ in range(DUELS))
        return 1 / seconds, 1 / seconds
    for _ in range(DUELS):
        for point, samples in zip((one, other), taken, strict=True):
            samples.append(measure(bench, point, prompt))
    return 1 / median(taken[0]), 1 / median(taken[1])


def outcome(name: str, condition: str, rounds: int, seconds: float, prompt: int, bar: Any) -> Outcome:
    with edgelfm.load(name, progress=False, tune=False) as lfm, beside(condition):
        tuned = tune(lfm._session, lfm.plan, lfm.candidate, seconds=seconds, keep=False)
        one = tuned.record
        layouts = [Layout(flash, size) for flash in (True, False) for size in space.MICRO_BATCHES if size <= prompt]
        counts = space.threads_to_try(lfm.plan, lfm.candidate, prefill=True)
        grid = [(threads, layout) for threads in counts for layout in layouts]
        layout = Layout(one.flash_attention, min(one.micro_batch, prompt))
        with rig(lfm._session, room=prompt, longest=WRITTEN + 1) as bench:
            any_read, best_read = best(read, bench, grid, prompt, rounds, one.flash_attention, bar)
            any_written, best_written = best(write, bench, grid, prompt, rounds, one.flash_attention, bar)
            reads, writes = (one.threads_prefill, layout), (one.threads, layout)
            prefill, prefill_best = duel(read, bench, reads, best_read, prompt)
            decode, decode_best = duel(write, bench, writes, best_written, prompt)
            shares = []
            for measure, point, other in ((read, reads, any_read), (write, writes, any_written)):
                ours, theirs = duel(measure, bench, point, other, prompt)
                shares.append(ours / theirs)
        chosen = {name: getattr(one, name) for name in ("threads", "threads_prefill", "flash_attention", "micro_batch")}
        return Outcome(
            model=f"{lfm.entry.name} {lfm.candidate.quantization}", condition=condition, tune_seconds=tuned.seconds,
            cores_taken=one.cores_taken, chosen=chosen, decode=decode, decode_best=decode_best,
            decode_best_at=_told(best_written), prefill=prefill, prefill_best=prefill_best,
            prefill_best_at=_told(best_read), decode_any=shares[1], decode_any_at=_told(any_written),
            prefill_any=shares[0], prefill_any_at=_told(any_read),
        )  # fmt: skip


def _told(point: Point) -> str:
    threads, layout = point
    return f"{threads} thr, {'fa' if layout.flash_attention else 'no fa'}, {layout.micro_batch}"


def show(outcomes: list[Outcome]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "condition", "", "chosen", "tokens/s", "best alike", "tokens/s", "share", "of any", "share")
    for one in outcomes:
        layout = Layout(one.chosen["flash_attention"], one.chosen["micro_batch"])
        written, read = _told((one.chosen["threads"], layout)), _told((one.chosen["threads_prefill"], layout))
        rows = (
            (
                "decode",
                written,
                one.decode,
                one.decode_best_at,
                one.decode_best,
                one.decode_share,
                one.decode_any_at,
                one.decode_any,
            ),
            (
                "prefill",
                read,
                one.prefill,
                one.prefill_best_at,
                one.prefill_best,
                one.prefill_share,
                one.prefill_any_at,
                one.prefill_any,
            ),
        )
        for phase, chosen, speed, at, most, share, any_at, any_share in rows:
            style = "green" if share >= BAR else "red"
            table.add_row(
                one.model,
                one.condition,
                phase,
                chosen,
                f"{speed:.1f}",
                at,
                f"{most:.1f}",
                f"[{style}]{share:.3f}[/]",
                any_at,
                f"{any_share:.3f}",
            )
    Console(width=None if sys.stdout.isatty() else 130).print(table)


def main() -> None:
    from tqdm import tqdm

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=ASKED_SECONDS, help="that tune may take")
    parser.add_argument("--condition", action="append", choices=CONDITIONS, help="both, unless one is named")
    parser.add_argument("--prompt", type=int, default=256, help="tokens of the prompts in the grid")
    parser.add_argument("--model", action="append", help="may be given several times; the starter and the 350M shape")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    models = options.model or ["starter", str(shapes_folder() / "LFM2-350M-Q4_0.gguf")]
    sizes = [size for size in space.MICRO_BATCHES if size <= options.prompt]
    with tempfile.TemporaryDirectory() as cache:
        environ["EDGELFM_CACHE"] = cache  # no record of an earlier run, and none of this one is kept
        cores = edgelfm.inspect(bandwidth=False).cpu
        points = len(space.thread_counts(cores, cores.affinity)) * 2 * len(sizes)
        with tqdm(total=points * options.rounds * 2 * len(models), unit="point", file=sys.stderr, disable=None) as bar:
            outcomes = []
            for name in models:
                for condition in options.condition or CONDITIONS:
                    bar.set_description(f"{Path(name).stem}, {condition}")
                    outcomes.append(outcome(name, condition, options.rounds, options.seconds, options.prompt, bar))
    if options.json:
        shares = [{"decode_share": one.decode_share, "prefill_share": one.prefill_share} for one in outcomes]
        print(json.dumps([asdict(one) | share for one, share in zip(outcomes, shares, strict=True)], indent=2))
    else:
        show(outcomes)
    sys.exit(any(min(one.decode_share, one.prefill_share) < BAR for one in outcomes))


if __name__ == "__main__":
    main()
