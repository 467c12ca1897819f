"""Does `tune` find the best? An exhaustive grid against what it chose, on a quiet machine and with one core kept busy.

    python scripts/bench_tuning.py [--rounds 3] [--seconds 12] [--model starter --model PATH] [--json]

The grid is threads x flash attention x micro-batch, measured in interleaved rounds in the same minutes as the tuning,
and medians are compared: 1.00 is the best of the grid. The bar is 0.97 for decode and for prefill. Decode is that of 16
tokens after the prompt; flash attention is one choice for both phases, so both can be short of their own best.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from os import environ
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the other scripts

import edgelfm
from edgelfm.backends.llama_cpp.rig import Layout, Rig, rig
from edgelfm.tuning import space
from edgelfm.tuning.tune import tune
from scripts.make_shapes import shapes_folder

BAR = 0.97
WRITTEN = 16  # tokens


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


def measure(bench: Rig, threads: int, layout: Layout, prompt: int) -> tuple[float, float]:
    """Seconds per token of prefill and decode."""
    read = bench.prefill(prompt, layout, threads=threads) / prompt
    return read, bench.decode(WRITTEN, layout, threads=threads, depth=prompt) / WRITTEN


def outcome(name: str, condition: str, rounds: int, seconds: float, prompt: int, bar: Any) -> Outcome:
    with edgelfm.load(name, progress=False, tune=False) as lfm, beside(condition):
        tuned = tune(lfm._session, lfm.plan, lfm.candidate, seconds=seconds, keep=False)
        one = tuned.record
        layouts = [Layout(flash, size) for flash in (True, False) for size in space.MICRO_BATCHES if size <= prompt]
        counts = space.threads_to_try(lfm.plan, lfm.candidate, prefill=True)
        grid = [(threads, layout) for threads in counts for layout in layouts]
        read: dict[tuple[int, Layout], list[float]] = {point: [] for point in grid}
        written: dict[tuple[int, Layout], list[float]] = {point: [] for point in grid}
        with rig(lfm._session, room=prompt, longest=WRITTEN + 1) as bench:
            for number in range(rounds):
                for point in grid if number % 2 == 0 else reversed(grid):
                    prefill, decode = measure(bench, *point, prompt)
                    read[point].append(prefill)
                    written[point].append(decode)
                    bar.update(1)
        title = f"{lfm.entry.name} {lfm.candidate.quantization}"
    layout = Layout(one.flash_attention, min(one.micro_batch, prompt))
    best_read = min(grid, key=lambda point: median(read[point]))
    best_written = min(grid, key=lambda point: median(written[point]))
    chosen = {name: getattr(one, name) for name in ("threads", "threads_prefill", "flash_attention", "micro_batch")}
    # What does not depend on the micro-batch is told by all of them: decode of the chosen threads and attention.
    own = [taken for (threads, at), all_ in written.items() for taken in all_
           if threads == one.threads and at.flash_attention == one.flash_attention]  # fmt: skip
    pooled: dict[tuple[int, bool], list[float]] = {}
    for (threads, at), all_ in written.items():
        pooled.setdefault((threads, at.flash_attention), []).extend(all_)
    return Outcome(
        model=title, condition=condition, tune_seconds=tuned.seconds, cores_taken=one.cores_taken, chosen=chosen,
        decode=1 / median(own), decode_best=1 / min(median(all_) for all_ in pooled.values()),
        decode_best_at=_told(best_written), prefill=1 / median(read[one.threads_prefill, layout]),
        prefill_best=1 / median(read[best_read]), prefill_best_at=_told(best_read),
    )  # fmt: skip


def _told(point: tuple[int, Layout]) -> str:
    threads, layout = point
    return f"{threads} threads, flash {'on' if layout.flash_attention else 'off'}, {layout.micro_batch}"


def show(outcomes: list[Outcome]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "condition", "tuned in", "phase", "chosen", "tokens/s", "best of grid", "at", "share")
    for one in outcomes:
        flash = "on" if one.chosen["flash_attention"] else "off"
        rows = (
            ("decode", f"{one.chosen['threads']} threads, flash {flash}", one.decode, one.decode_best,
             one.decode_best_at, one.decode_share),
            ("prefill", f"{one.chosen['threads_prefill']} threads, flash {flash}, {one.chosen['micro_batch']}",
             one.prefill, one.prefill_best, one.prefill_best_at, one.prefill_share),
        )  # fmt: skip
        for phase, chosen, speed, best, at, share in rows:
            style = "green" if share >= BAR else "red"
            table.add_row(
                one.model, one.condition, f"{one.tune_seconds:.1f} s", phase, chosen, f"{speed:.1f}", f"{best:.1f}",
                at, f"[{style}]{share:.3f}[/]",
            )  # fmt: skip
    Console().print(table)


def main() -> None:
    from tqdm import tqdm

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=12.0, help="that tune may take")
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
        with tqdm(total=points * options.rounds * 2 * len(models), unit="point", file=sys.stderr) as bar:
            outcomes = []
            for name in models:
                for condition in ("quiet", "one core busy"):
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
