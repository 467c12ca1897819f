"""The benchmark itself: runtimes take turns, and each turn is one repetition of everything in a fresh state.

The order alternates from round to round, so that neither a machine that grows hot nor one that calms down favours the
first. A runtime that fails is reported with its reason and the others go on. Ctrl-C ends the run, not the report.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

from ..errors import EdgelfmError
from ..hardware.host import Host
from ..monitor.clocks import megahertz
from ..monitor.files import ROOT
from ..monitor.heat import hottest
from ..monitor.throttle import began, read_throttle
from .gate import Gate
from .measure import Energy, PeakMemory
from .progress import Forecast, Meter, Show
from .protocol import SUSTAINED_DEPTH, SUSTAINED_TOKENS, Runner, Settings, Step, measure
from .report import BenchReport, Conditions, Repetition, Result, Series, Slice, Subject
from .statistics import find, rates

_LOAD = Step("load", 0, 0)
_SLICE_SECONDS, _FEWEST_TOKENS = 5.0, 8  # of a sustained run


@dataclass(slots=True)
class _Entrant:
    """One runner, and what has been measured of it."""

    runner: Runner
    subject: Subject
    series: dict[Step, list[Repetition]] = field(default_factory=dict)
    slices: list[Slice] = field(default_factory=list)
    peak: int | None = None
    failure: str = ""

    def add(self, step: Step, repetition: Repetition) -> None:
        self.series.setdefault(step, []).append(repetition)


class _Run:
    """One benchmark on its way."""

    def __init__(self, runners: Sequence[Runner], settings: Settings, gate: Gate, meter: Meter, root: Path) -> None:
        self.settings, self.gate, self.meter, self.root = settings, gate, meter, root
        self.entrants = [_Entrant(runner, _unknown(runner.name)) for runner in runners]
        self.energy = Energy(root)
        asked = ["load", *(_name(step) for step in settings.steps())]
        things = [(runner.name, one) for _ in range(settings.repetitions) for runner in runners for one in asked]
        if settings.sustained:
            things += [(runner.name, "sustained") for runner in runners]
        self.total, self.count = len(things), 0
        self.forecast = Forecast(things, {"sustained": settings.sustained})
        self.gate.told = lambda reason: meter.note(f"waiting: {reason}")

    def round(self, number: int) -> None:
        entrants = self.entrants if number % 2 == 0 else self.entrants[::-1]
        for entrant in entrants:
            self._turn(entrant, lambda one: self._repetition(one, number))

    def sustain(self) -> None:
        for entrant in self.entrants:
            self._turn(entrant, self._sustained)

    def _turn(self, entrant: _Entrant, work: Callable[[_Entrant], None]) -> None:
        if entrant.failure:
            return
        try:
            work(entrant)
        except EdgelfmError as error:
            entrant.failure = str(error)
            self.total -= self.forecast.drop(entrant.runner.name)
        finally:
            entrant.runner.stop()

    def _repetition(self, entrant: _Entrant, number: int) -> None:
        runner = entrant.runner
        turn = f"{number + 1}/{self.settings.repetitions} {runner.name}: "
        self._show(turn + "load")
        conditions = self.gate.enter()
        begun = time.perf_counter()
        entrant.subject = replace(runner.start(), energy_source=self.energy.source)
        self._done(runner, "load", time.perf_counter() - begun)
        if runner.load_seconds is not None:
            entrant.add(_LOAD, Repetition(runner.load_seconds, conditions))
        peak = PeakMemory(runner.pid, self.root)
        try:
            with peak:
                for step in self.settings.steps():
                    self._show(turn + _name(step))
                    begun = time.perf_counter()
                    self._step(entrant, step, conditions)
                    self._done(runner, _name(step), time.perf_counter() - begun)
        finally:
            if peak.bytes is not None:
                entrant.peak = max(entrant.peak or 0, peak.bytes)

    def _step(self, entrant: _Entrant, step: Step, conditions: Conditions) -> None:
        self.energy.begin()
        seconds = measure(entrant.runner, step)
        joules = self.energy.end()
        if seconds is not None:
            entrant.add(step, Repetition(seconds, conditions, self._own_part(entrant, step, joules)))

    def _own_part(self, entrant: _Entrant, step: Step, joules: float | None) -> float | None:
        """Of the energy that went by while a step was done, what its timed part took. None where that is not known.

        A decode evaluates its context first. That is the work of a prefill, which was metered just before.
        """
        if step.kind == "prefill" or joules is None:
            return joules
        prefill = entrant.series.get(Step("prefill", self.settings.prompt, 0))
        if step.kind != "decode" or not prefill or (before := prefill[-1].energy_joules) is None:
            return None
        rest = joules - before * step.depth / self.settings.prompt
        return rest if rest > 0 else None

    def _sustained(self, entrant: _Entrant) -> None:
        runner = entrant.runner
        self.gate.enter()
        entrant.subject = replace(runner.start(), energy_source=self.energy.source)
        tokens = self._slice_tokens(entrant)
        began_at = time.perf_counter()
        throttle = read_throttle(self.root)
        while (at := time.perf_counter() - began_at) < self.settings.sustained:
            self._show(f"{runner.name}: decode for {self.settings.sustained:.0f} s", self.settings.sustained - at)
            self.energy.begin()
            seconds = runner.decode(SUSTAINED_DEPTH, tokens)
            joules = self.energy.end()
            zone, now = hottest(self.root), read_throttle(self.root)
            entrant.slices.append(
                Slice(
                    at_seconds=at,
                    seconds=seconds,
                    tokens=tokens,
                    celsius=zone.celsius if zone is not None else None,
                    megahertz=megahertz(self.root),
                    throttled=began(throttle, now),
                    energy_joules=joules,
                )
            )
            throttle = now
        self._done(runner, "sustained", self.settings.sustained)

    def _slice_tokens(self, entrant: _Entrant) -> int:
        """Tokens that take some seconds, so that a slow board shows more than one slice."""
        decode = entrant.series.get(Step("decode", self.settings.tokens, min(self.settings.depths)))
        if not decode:
            return SUSTAINED_TOKENS
        wanted = _SLICE_SECONDS * self.settings.tokens / decode[-1].seconds
        return min(SUSTAINED_TOKENS, max(_FEWEST_TOKENS, round(wanted)))

    def _show(self, what: str, running: float = 0.0) -> None:
        left = self.forecast.seconds()
        self.meter.show(self.count, self.total, what, left if left is None else max(left, running))

    def _done(self, runner: Runner, asked: str, seconds: float) -> None:
        self.count += 1
        self.forecast.done((runner.name, asked), seconds)


def run(
    runners: Sequence[Runner],
    settings: Settings,
    *,
    host: Host,
    command: str,
    bandwidth: Callable[[], float | None] = lambda: None,
    progress: bool | Show = False,
    notes: Sequence[str] = (),
    gate: Gate | None = None,
    root: Path = ROOT,
) -> BenchReport:
    """Measure all `runners` in turns.

    `bandwidth` measures the read bandwidth of main memory in bytes per second; it is asked before every round, when no
    model is loaded, and the median counts. Ctrl-C ends the run and gives the report of what was measured until
    then, `interrupted`. Raises nothing for a runner that fails: its `Result.failure` says why.
    """
    started_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    begun = time.perf_counter()
    speeds: list[float] = []
    interrupted = False
    total = settings.repetitions * len(runners)
    with Meter(progress, total) as meter:
        work = _Run(runners, settings, gate or Gate(settings.patience, root=root), meter, root)
        try:
            for number in range(settings.repetitions):
                if (speed := bandwidth()) is not None:
                    speeds.append(speed)
                work.round(number)
            if settings.sustained:
                work.sustain()
        except KeyboardInterrupt:
            interrupted = True
    middle = statistics.median(speeds) if speeds else None  # the best may be an echo of the processor's cache
    return BenchReport(
        edgelfm=_version(),
        started_at=started_at,
        command=command,
        seconds=time.perf_counter() - begun,
        host=_told(host),
        bandwidth_bytes_per_second=middle,
        interleaved=True,
        results=tuple(_result(entrant, middle) for entrant in work.entrants),
        interrupted=interrupted,
        notes=tuple(notes),
    )


def _result(entrant: _Entrant, bandwidth: float | None) -> Result:
    series = tuple(Series(step.kind, step.tokens, step.depth, tuple(done)) for step, done in entrant.series.items())
    result = Result(
        subject=entrant.subject,
        series=series,
        sustained=tuple(entrant.slices),
        peak_memory_bytes=entrant.peak,
        bytes_per_token=entrant.runner.bytes_per_token,
        failure=entrant.failure,
    )
    decode = find(result, "decode")
    speed = rates(decode) if decode is not None else None
    if speed is None or bandwidth is None or result.bytes_per_token is None:
        return result
    return replace(result, bandwidth_share=result.bytes_per_token * speed.median / bandwidth)


def _name(step: Step) -> str:
    """What a step does, in a few words."""
    words: Mapping[str, str] = {
        "prefill": f"prefill of {step.tokens}",
        "decode": f"decode at {step.depth}",
        "first_token_cold": "first token, cold",
        "first_token_warm": "first token, warm",
        "first_token_after_edit": "first token after an edit",
    }
    return words[step.kind]


def _told(host: Host) -> Host:
    """The machine without what is nobody's business in a report that people share: their name, and the boot."""
    home, path = str(Path.home()), host.disk.path
    path = "~" + path.removeprefix(home) if path.startswith(home) else path
    return replace(host, os=replace(host.os, boot_id=""), disk=replace(host.disk, path=path))


def _unknown(name: str) -> Subject:
    """A runtime that has not said yet what it is."""
    return Subject(name, "", "", "", None, "", (), None)


def _version() -> str:
    from .. import __version__

    return __version__
