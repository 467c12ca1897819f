"""Measure one loaded model on this machine for a few seconds, and say which settings are best.

Threads of decode and of prefill, flash attention and micro-batch. One measurement is short: eight tokens, or the piece
of prompt that is computed at once, taken from the middle of a prompt so that it costs what the average piece costs.
Everything is measured as if nobody had asked for anything: what was asked for is kept when the next plan is made.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median, quantiles
from typing import TYPE_CHECKING, TypeVar

from ..backends.llama_cpp.rig import Layout, Rig, rig
from ..decision import Decision
from ..errors import RequestError
from ..monitor.cores import CoresTaken
from ..planning import record_store
from ..planning.plan import Candidate, Plan, Settings
from ..planning.recording import make_record
from ..planning.records import Phase, Record, Timing, Trial
from . import space
from .progress import Measuring, Meter, Show
from .search import SAME, Race, descend, race
from .stopwatch import time_runs

if TYPE_CHECKING:
    from ..backends.base import Session

V = TypeVar("V")

#: Seconds that a first use may cost, and that somebody who asks for it waits.
FIRST_USE_SECONDS, ASKED_SECONDS = 5.0, 20.0
_PIECE = 32  # tokens; enough to tell numbers of threads apart
_WARM = 16  # tokens; touches all weights once
_CLOSE = 1.25  # times the best; settings within it meet again in other company


@dataclass(frozen=True, slots=True)
class Tuned:
    """What was measured and chosen. `record` is what plans are made with."""

    record: Record
    usual: Settings  # as it was opened
    seconds: float  # that measuring took
    not_kept: str = ""  # why the record could not be kept for the next start

    @property
    def decode_gain(self) -> float | None:
        """How many times faster than as it was opened, by threads alone. None if those were not tried."""
        return _gain(self.record, "decode", "threads", self.record.threads, self.usual.threads.value)

    @property
    def prefill_gain(self) -> float | None:
        """How many times faster prompts are read than as it was opened, by threads alone."""
        chosen, before = self.record.threads_prefill, self.usual.threads_prefill.value
        return _gain(self.record, "prefill", "threads_prefill", chosen, before)


def tune(
    session: Session,
    plan: Plan,
    candidate: Candidate,
    *,
    seconds: float = ASKED_SECONDS,
    progress: bool | Show = False,
    keep: bool = True,
    attention: Sequence[Trial] = (),
) -> Tuned:
    """Measure the model that `session` holds and `candidate` describes, for about `seconds`.

    The session answers nobody meanwhile and goes on as it was. The record is kept for the plans to come unless `keep`
    says otherwise. Where the runtime leaves nothing to choose, only the speed is measured; flash attention stays as it
    is where `attention` has what was found out about it before. Raises `DoesNotFit` if there is no memory to measure
    in, `BackendError`, `SessionClosed`.
    """
    from ..backends.llama_cpp.session import LlamaSession

    if seconds <= 0:
        raise RequestError(f"{seconds:g} seconds to measure in", hint=f"give {FIRST_USE_SECONDS:g} or more")
    others, started = CoresTaken(), time.perf_counter()
    title = f"measuring this machine for {candidate.model.name} {candidate.quantization}"
    with Meter(progress, title, seconds) as meter:
        if isinstance(session, LlamaSession):
            room = space.layouts(plan, candidate)
            if attention:
                usual = candidate.settings.flash_attention.value
                room = tuple(one for one in room if one.flash_attention == usual) or room
            with rig(session, room=space.PROMPTS[0], longest=space.WRITTEN + 1) as bench:
                found = _Bench(bench, plan, candidate, room, seconds, meter).run()
        else:
            found = _as_it_is(session, candidate, seconds, meter)
    record = make_record(
        plan.host,
        candidate,
        decode=found.decode,
        prefill=found.prefill,
        prompt=found.prompt,
        depth=found.depth,
        settings=found.settings,
        cores_taken=round(others.read() or 0.0),
        tried=(*found.tried, *attention),
        adapter=plan.request.adapter,
    )
    not_kept = (record_store.keep(record) or "") if keep else ""
    return Tuned(record, candidate.settings, time.perf_counter() - started, not_kept)


@dataclass(frozen=True, slots=True)
class _Found:
    settings: Settings
    decode: Timing
    prefill: Timing
    depth: int
    prompt: int
    tried: tuple[Trial, ...]


def _as_it_is(session: Session, candidate: Candidate, seconds: float, meter: Meter) -> _Found:
    """The speed with the settings it has."""
    started = time.perf_counter()

    def say(phase: Phase) -> None:
        meter.show(Measuring(phase, time.perf_counter() - started, seconds))

    timed = time_runs(session, seconds, say)
    decode, prefill = _timing(timed.decode), _timing(timed.prefill)
    return _Found(candidate.settings, decode, prefill, timed.depth, timed.prompt, ())


@dataclass(slots=True)
class _Bench:
    """One tuning under way."""

    rig: Rig
    plan: Plan
    candidate: Candidate
    room: Sequence[Layout]
    seconds: float
    meter: Meter
    started: float = 0.0

    def run(self) -> _Found:
        self.started = time.perf_counter()
        first = self._first_layout()
        self.rig.prefill(_WARM, first, threads=self.candidate.settings.threads_prefill.value)
        counts = space.threads_to_try(self.plan, self.candidate, prefill=True)
        tried_prefill = self._threads(counts, lambda count: self._prefill(first, count, _PIECE, 0), "prefill", 0.2)
        threads = _best(tried_prefill, sorted(counts))
        rate = 1 / tried_prefill[threads]

        deepest, read = self._deep_states(first, threads, rate)
        counts = space.threads_to_try(self.plan, self.candidate, prefill=False)
        tried_decode = self._threads(counts, lambda count: self._decode(first, count, deepest), "decode", 0.5)
        worth = [
            count for count in sorted(counts) if tried_decode.get(count, 9e9) <= _CLOSE * min(tried_decode.values())
        ]
        layout_of = {one.flash_attention: one for one in (*reversed(self.room), first)}
        pairs = [(count, flash) for count in worth for flash in read]
        writing = race(pairs, lambda pair: self._decode(layout_of[pair[1]], pair[0], deepest), seconds=self._left(0.6))
        flash = self._attention(read, writing)

        prompt, ways = self._affordable(flash, deepest, rate)
        middles = {one: (prompt - one.micro_batch) // 2 for one in ways}
        self._say("prefill")
        self.rig.reach(middles.values(), ways[-1], threads=threads)
        reading = race(
            ways, lambda one: self._prefill(one, threads, one.micro_batch, middles[one]), seconds=self._left(0.8)
        )
        layout = reading.unless(min(ways, key=self._from_planned))
        # Beside other programs more threads may pay in large pieces though they did not in small ones.
        close = [one for one in sorted(tried_prefill) if tried_prefill[one] <= _CLOSE * tried_prefill[threads]]
        if len(close) > 1:
            final = race(
                close,
                lambda count: self._prefill(layout, count, layout.micro_batch, middles[layout]),
                seconds=self._left(1.0),
            )
            threads = final.best
            tried_prefill = {**tried_prefill, **{count: final.seconds(count) for count in close}}
        return self._choose(deepest, prompt, threads, layout, tried_prefill, tried_decode, read, writing, reading)

    def _deep_states(self, first: Layout, threads: int, rate: float) -> tuple[int, dict[bool, float]]:
        """How deep decode is measured, and the seconds per token that reading so far took, by flash attention.

        What flash attention costs a token on a CPU shows only after some hundred tokens of context. Where there is no
        time to read so many twice, it stays as planned and decode is measured as deep as time allows.
        """
        flashes = list(dict.fromkeys([first.flash_attention, *(one.flash_attention for one in self.room)]))
        tokens = rate * self._left(0.6)
        if len(flashes) * space.DEEP > tokens:
            flashes = flashes[:1]
        fitting = [one for one in space.PROMPTS if one + space.WRITTEN < self.candidate.settings.context.value]
        # Deeper than shows the difference only if that takes little of the time.
        deepest = next(
            (one for one in fitting if one * len(flashes) <= (tokens / 2 if one > space.DEEP else tokens)),
            space.PROMPTS[-1],
        )
        read: dict[bool, float] = {}
        for flash in flashes:
            sizes = [
                one for one in self.room if one.flash_attention == flash and one.micro_batch <= max(deepest // 2, 64)
            ]
            self._say("prefill")
            # In two halves, of which the quicker counts: something else may have run meanwhile.
            halves = [
                self.rig.reach([depth], sizes[-1], threads=threads) / (deepest // 2)
                for depth in (deepest // 2, deepest)
            ]
            read[flash] = min(halves)
        return deepest, read

    @staticmethod
    def _attention(read: Mapping[bool, float], writing: Race[tuple[int, bool]]) -> bool:
        """Flash attention on or off: both phases share one context. A typical turn of a chat decides."""
        turns = {}
        for flash, seconds in read.items():
            best = writing.least([pair for pair in writing.order if pair[1] == flash])
            turns[flash] = space.TURN_READ * seconds + space.TURN_WRITTEN * writing.seconds(best)
        return next(flash for flash in read if turns[flash] <= min(turns.values()) * (1 + 2 * SAME))

    def _affordable(self, flash: bool, deepest: int, rate: float) -> tuple[int, list[Layout]]:
        """The longest prompt whose micro-batches can be measured twice in the time that is left, and those.

        Only the planned one if there is no time to compare.
        """
        same = [one for one in self.room if one.flash_attention == flash]
        for prompt in (one for one in space.PROMPTS if one <= deepest):
            ways = [one for one in same if one.micro_batch <= prompt]
            if len(ways) > 1 and 2.2 * sum(one.micro_batch for one in ways) <= rate * self._left(1.0):
                return prompt, ways
        planned = min(same, key=self._from_planned)
        return planned.micro_batch, [planned]

    def _from_planned(self, layout: Layout) -> int:
        return abs(layout.micro_batch - self.candidate.settings.micro_batch.value)

    def _choose(
        self,
        deepest: int,
        prompt: int,
        threads_prefill: int,
        layout: Layout,
        tried_prefill: Mapping[int, float],
        tried_decode: Mapping[int, float],
        read: Mapping[bool, float],
        writing: Race[tuple[int, bool]],
        reading: Race[Layout],
    ) -> _Found:
        """Put the phases together."""
        written = {one: writing.least([pair for pair in writing.order if pair[1] == one]) for one in read}
        flash = layout.flash_attention
        threads, _ = written[flash]
        tried = [
            *_trials("decode", "threads", {**tried_decode, **{
                count: writing.seconds((count, on)) for count, on in writing.order if on == flash}}),
            *_trials("decode", "flash_attention", {_on(one): writing.seconds(written[one]) for one in read}),
            *_trials("prefill", "threads_prefill", tried_prefill),
            *_trials("prefill", "flash_attention", {_on(one): seconds for one, seconds in read.items()}),
            *_trials("prefill", "micro_batch", {one.micro_batch: reading.seconds(one) for one in reading.order}),
        ]  # fmt: skip
        settings = replace(
            self.candidate.settings,
            threads=Decision(threads, "fastest here", "measured"),
            threads_prefill=Decision(threads_prefill, "fastest here", "measured"),
            flash_attention=Decision(flash, "fastest here", "measured"),
            micro_batch=Decision(layout.micro_batch, "fastest here", "measured")
            if len(reading.order) > 1
            else replace(self.candidate.settings.micro_batch, value=layout.micro_batch),
        )
        decode, prefill = _timing(writing.raw((threads, flash))), _timing(reading.raw(layout))
        return _Found(settings, decode, prefill, deepest, prompt, tuple(tried))

    def _first_layout(self) -> Layout:
        """The plan's own, with a micro-batch that was found to fit."""
        planned = space.usual(self.candidate)
        same = [one for one in self.room if one.flash_attention == planned.flash_attention]
        return min(same or self.room, key=self._from_planned)

    def _threads(
        self, counts: Sequence[int], measure: Callable[[int], float], phase: Phase, share: float
    ) -> dict[int, float]:
        """Seconds per token by number of threads, from the most threads down until fewer are hopeless."""
        self._say(phase)
        began = time.perf_counter()
        worth, found = descend(counts, measure)
        left, spent = self._left(share), time.perf_counter() - began
        if len(worth) == 1 or left < spent:
            return dict(found)
        run = race(sorted(worth), measure, seconds=left)
        return {**found, **{count: run.seconds(count) for count in worth}}

    def _prefill(self, layout: Layout, threads: int, tokens: int, depth: int) -> float:
        self._say("prefill")
        return self.rig.prefill(tokens, layout, threads=threads, depth=depth) / tokens

    def _decode(self, layout: Layout, threads: int, depth: int) -> float:
        self._say("decode")
        return self.rig.decode(space.WRITTEN, layout, threads=threads, depth=depth) / space.WRITTEN

    def _say(self, phase: Phase) -> None:
        self.meter.show(Measuring(phase, time.perf_counter() - self.started, self.seconds))

    def _left(self, share: float) -> float:
        """Seconds until `share` of the time is over."""
        return max(0.0, share * self.seconds - (time.perf_counter() - self.started))


def _best(tried: Mapping[int, float], cheapest_first: Sequence[int]) -> int:
    least = min(tried.values())
    return next(one for one in cheapest_first if tried.get(one, 9e9) <= least * (1 + SAME))


def _on(flash: bool) -> str:
    return "on" if flash else "off"


def _trials(phase: Phase, setting: str, seconds: Mapping[V, float]) -> list[Trial]:
    """One of each value, if there was more than one to choose from."""
    return [Trial(phase, setting, str(value), taken) for value, taken in seconds.items()] if len(seconds) > 1 else []


def _timing(samples: Sequence[float]) -> Timing:
    """Median and quartiles. Two samples are their own quartiles."""
    low, _, high = quantiles(samples, n=4, method="inclusive") if len(samples) > 1 else (samples[0],) * 3
    return Timing(median(samples), low, high, len(samples))


def _gain(record: Record, phase: Phase, setting: str, chosen: object, before: object) -> float | None:
    after, earlier = (record.seconds_with(phase, setting, str(value)) for value in (chosen, before))
    return earlier / after if after and earlier else None
