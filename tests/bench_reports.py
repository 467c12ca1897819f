"""Benchmark reports such as a two-core server gives, built in code, and others that are out of the ordinary."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from edgelfm.bench.report import BenchReport, Conditions, Kind, Repetition, Result, Series, Slice, Subject
from edgelfm.hardware.host import Cpu, Host, Memory, OperatingSystem

QUIET = Conditions(waited_seconds=0.0, ready=True, celsius=48.0, load_per_core=0.03, throttled=False)
EPYC = Host(
    os=OperatingSystem("linux", "6.1.0-25-amd64", "Debian GNU/Linux 12 (bookworm)", python="3.11.7"),
    cpu=Cpu("AMD", "AMD EPYC 9R14", "x86_64", logical_cores=2, physical_cores=2, features=("avx2", "avx512f")),
    memory=Memory(total_bytes=25_276_514_304, available_bytes=24_000_000_000),
)
LICENSE = "Apache License 2.0, https://www.apache.org/licenses/LICENSE-2.0"
STARTER = Subject(
    name="edgelfm",
    version="0.1.0",
    model="SmolLM2-135M-Instruct",
    quantization="Q4_1",
    file_bytes=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    settings=(("flash attention", "on"), ("micro-batch", "512"), ("KV type", "f16")),
    threads=2,
    license=LICENSE,
)


def series(
    kind: Kind,
    seconds: Sequence[float],
    tokens: int = 0,
    depth: int = 0,
    *,
    conditions: Conditions = QUIET,
    joules: float | None = None,
) -> Series:
    """One measurement repeated: how long each time took."""
    return Series(kind, tokens, depth, tuple(Repetition(one, conditions, joules) for one in seconds))


def noisy(middle: float, spread: float, draw: random.Random, number: int = 5) -> list[float]:
    """Times around `middle`, with a relative standard deviation of `spread`."""
    return [middle * max(0.2, draw.gauss(1.0, spread)) for _ in range(number)]


def result(
    subject: Subject,
    *,
    decode: float,
    prefill: float,
    warm: float | None,
    edit: float | None,
    load: float,
    memory: int | None,
    seed: int = 1,
    spread: float = 0.02,
    number: int = 5,
    depths: Sequence[int] = (512,),
    joules: float | None = None,
    share: float | None = None,
    sustained: tuple[Slice, ...] = (),
) -> Result:
    """A subject with speeds in tokens per second and times in seconds."""
    draw = random.Random(seed)

    def times(middle: float) -> list[float]:
        return noisy(middle, spread, draw, number)

    measured = [
        series("load", times(load)),
        series("first_token_cold", times(512 / prefill + 1 / decode), 512),
        series("prefill", times(512 / prefill), 512),
    ]
    for place, depth in enumerate(depths):
        measured.append(series("decode", times(100 / decode * (1 + 0.12 * place)), 100, depth, joules=joules))
    if warm is not None:
        measured.append(series("first_token_warm", times(warm), 32, 480))
    if edit is not None:
        measured.append(series("first_token_after_edit", times(edit), 32, 480))
    return Result(subject, tuple(measured), sustained, memory, 92_000_000, share)


def slices(rate: float, *, minutes: int = 5, hot_from: int | None = None) -> tuple[Slice, ...]:
    """A sustained run in slices of ten seconds, that slows down where it gets hot."""
    draw = random.Random(7)
    made = []
    for number in range(minutes * 6):
        hot = hot_from is not None and number >= hot_from
        speed = rate * (0.82 if hot else 1.0) * draw.gauss(1.0, 0.012)
        celsius = min(84.0, 48.0 + number * 1.6) if hot_from is not None else 48 + min(number, 8) * 0.9
        made.append(Slice(number * 10.0, 10.0, round(speed * 10), celsius, 2900.0 if hot else 3600.0, hot))
    return tuple(made)


def peer(name: str, version: str, **changes: object) -> Subject:
    """Another runtime with the same weights."""
    return replace(STARTER, name=name, version=version, **changes)  # type: ignore[arg-type]


def example(depths: Sequence[int] = (512,)) -> BenchReport:
    """The starter on two cores of a server: four runtimes beside ours, and one that is not there."""
    build: Callable[..., Result] = result
    return BenchReport(
        edgelfm="0.1.0",
        started_at="2026-11-24T09:30:00Z",
        command="edgelfm bench starter --peers --sustained 300",
        seconds=228.0,
        host=EPYC,
        bandwidth_bytes_per_second=31.6e9,
        interleaved=True,
        results=(
            build(
                STARTER, decode=125, prefill=870, warm=0.046, edit=0.047, load=0.31, memory=238_000_000, seed=1,
                depths=depths, share=0.36, sustained=slices(124, hot_from=19), joules=18.0,
            ),
            build(
                peer("llama.cpp bare loop", "0.3.36"), decode=127, prefill=880, warm=0.045, edit=0.59, load=0.29,
                memory=231_000_000, seed=2, depths=depths, share=0.37, joules=17.7,
            ),
            build(
                peer("llama-cpp-python", "0.3.36", settings=(("flash attention", "off"),), threads=1), decode=92,
                prefill=610, warm=0.052, edit=0.86, load=0.33, memory=252_000_000, seed=3, depths=depths, share=0.27,
                joules=26.0,
            ),
            build(
                peer(
                    "transformers", "5.23.0", quantization="bf16", file_bytes=None, sha256="", settings=(),
                    note="weights dequantized to bf16, so it reads 3 times the bytes",
                ),
                decode=14, prefill=160, warm=None, edit=None, load=2.6, memory=1_130_000_000, seed=4, depths=depths,
            ),
            build(
                peer(
                    "onnxruntime-genai", "0.18.0", quantization="int4", sha256="", settings=(("provider", "CPU"),),
                    note="quantized anew to int4 by its own builder",
                ),
                decode=60, prefill=402, warm=None, edit=None, load=0.71, memory=402_000_000, seed=5, spread=0.05,
                depths=depths,
            ),
            Result(
                peer("mlx-lm", "", settings=()), (),
                failure="mlx-lm is not installed\n  hint: pip install 'edgelfm[mlx]'",
            ),
        ),
    )  # fmt: skip


def alone() -> BenchReport:
    """The same, of edgelfm only."""
    whole = example()
    return replace(whole, command="edgelfm bench starter", seconds=41.0, results=whole.results[:1])


def crowd(number: int) -> BenchReport:
    """`number` runtimes, some with very long names."""
    base = example((512, 2048)).results
    results = []
    for place in range(number):
        one = base[place % 5]
        name = one.subject.name if place < 5 else f"{one.subject.name} with settings nobody would write down {place}"
        results.append(replace(one, subject=replace(one.subject, name=name)))
    return replace(example(), results=tuple(results))


def troubled() -> BenchReport:
    """A hot machine that was never quiet."""
    hot = Conditions(30.0, False, 86.0, 0.62, True, "other programs used 62 % of the cores")
    waited = Conditions(12.5, True, 69.0, 0.2, False, "the hottest sensor read 75 °C")
    whole = alone()
    first = whole.results[0]
    measured = tuple(
        replace(
            one,
            repetitions=tuple(
                replace(again, conditions=hot if place == 4 else waited if place == 1 else again.conditions)
                for place, again in enumerate(one.repetitions)
            ),
        )
        for one in first.series
    )
    return replace(whole, results=(replace(first, series=measured),))


def empty() -> BenchReport:
    """Nothing ran at all."""
    whole = example()
    return replace(whole, results=whole.results[-1:], bandwidth_bytes_per_second=None, host=Host(), interrupted=True)
