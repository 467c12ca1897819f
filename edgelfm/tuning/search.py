"""Which of several ways is fastest, when every measurement is noisy and time is short?

Pure strategy over a function that takes seconds. Ways take turns in rounds, so that a machine that grows slower or
faster in the meantime is unfair to none; the pace of a round is estimated along with them and taken out. Clear losers
are dropped, and the race ends when what is left is as good as equal. It does not know what a way is.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Generic, TypeVar

W = TypeVar("W")  # a way: anything hashable

#: Ways within this are the same to people. The first of them in the order given is taken, which is the cheapest.
SAME = 0.01
#: Once everything left is known to be within this of the best, looking further is not worth the time.
GOOD_ENOUGH = 0.02
#: Rounds before anything is dropped: one burst of other work must not decide.
ROUNDS_BEFORE_DROPPING = 4
#: Standard errors between a way and the best before it counts as a loser.
DOUBT = 3.0
#: The noise assumed before it is known, and how many measurements that assumption weighs as much as.
NOISE, WEIGHT = 0.1, 4
SWEEPS = 4  # of the fit of ways and rounds; it settles in two or three


@dataclass(slots=True)
class Race(Generic[W]):
    """What was measured of each way, and which is to be taken. Seconds per unit of work."""

    order: tuple[W, ...]  # the cheapest first
    samples: dict[W, list[tuple[int, float]]] = field(default_factory=dict)  # round and seconds
    alive: list[W] = field(default_factory=list)

    @property
    def best(self) -> W:
        """The cheapest of those that are as fast as the fastest still in the race."""
        return self.least([way for way in self.order if way in self.alive])

    def least(self, part: Sequence[W]) -> W:
        """The first of those that are as fast as the fastest of `part`. Dropped ways count too."""
        scores = self.scores
        limit = min(scores[way] for way in part) + SAME
        return next(way for way in part if scores[way] <= limit)

    def unless(self, usual: W) -> W:
        """`best`, unless `usual` is as good as far as can be told: few or noisy measurements change nothing."""
        scores, noise = _fit(self.samples)
        best = self.best
        count = min(len(self.samples[usual]), len(self.samples[best]))
        return usual if scores[usual] - scores[best] <= noise * math.sqrt(2 / count) else best

    @property
    def scores(self) -> dict[W, float]:
        """Logarithm of the seconds of each way, with what slowed whole rounds taken out."""
        return _fit(self.samples)[0]

    def seconds(self, way: W) -> float:
        """Median of a way, as if it had been measured at the usual pace of the whole race."""
        return math.exp(self.scores[way])

    def raw(self, way: W) -> list[float]:
        """The measurements of a way as they came."""
        return [seconds for _, seconds in self.samples[way]]


def race(
    ways: Sequence[W],
    measure: Callable[[W], float],
    *,
    seconds: float,
    rounds: int = 40,
    clock: Callable[[], float] = time.perf_counter,
    seed: int = 0,
) -> Race[W]:
    """Measure `ways` in turns for about `seconds`, at most `rounds` times each.

    `ways` come with the cheapest first. `measure` returns the seconds a unit of work took. Every way is measured at
    least once, however long that takes; a race of one way is measured three times, for its spread.
    """
    started = clock()
    run: Race[W] = Race(tuple(ways), {way: [] for way in ways}, list(ways))
    cost: dict[W, float] = {}
    draw = random.Random(seed)
    rounds = min(rounds, 3) if len(ways) == 1 else rounds
    for number in range(rounds):
        turn = list(run.alive)
        draw.shuffle(turn)  # else a burst at the end of one round and the start of the next would hit the same way
        for way in turn:
            before = clock()
            if number and before - started + cost[way] > seconds:
                return run
            run.samples[way].append((number, measure(way)))
            cost[way] = clock() - before
        _drop(run)
        if len(run.alive) == 1 and len(ways) > 1 and number + 1 >= ROUNDS_BEFORE_DROPPING:
            break
        if _settled(run):
            break
    return run


def descend(
    ways: Sequence[W], measure: Callable[[W], float], *, hopeless: float = 1.5
) -> tuple[list[W], Mapping[W, float]]:
    """Try `ways` in order, and no further once one is `hopeless` times slower than the best.

    For ways along which speed rises to one summit and falls again, such as numbers of threads, tried from the end
    where a measurement is quickest. Returns those worth a race, in the order given, and what was measured.
    """
    found: dict[W, float] = {}
    for way in ways:
        found[way] = measure(way)
        if found[way] > hopeless * min(found.values()):
            found[way] = min(found[way], measure(way))  # something else may have run the first time
        if found[way] > hopeless * min(found.values()):
            break
    limit = hopeless * min(found.values())
    return [way for way in found if found[way] <= limit], found


def _drop(run: Race[W]) -> None:
    """Take out of the race what is surely slower than the best."""
    scores, noise = _fit(run.samples)
    best = min(run.alive, key=lambda way: scores[way])
    kept = []
    for way in run.alive:
        behind = scores[way] - scores[best]
        count = min(len(run.samples[way]), len(run.samples[best]))
        doubt = DOUBT * noise * math.sqrt(2 / count)
        if count < ROUNDS_BEFORE_DROPPING or behind <= max(doubt, SAME):
            kept.append(way)
    run.alive = kept


def _settled(run: Race[W]) -> bool:
    """Whether every way left is surely about as fast as the best."""
    scores, noise = _fit(run.samples)
    count = min(len(run.samples[way]) for way in run.alive)
    least = min(scores[way] for way in run.alive)
    spread = max(scores[way] for way in run.alive) - least
    return count >= 3 and spread + DOUBT * noise * math.sqrt(2 / count) < GOOD_ENOUGH


def _fit(samples: Mapping[W, Sequence[tuple[int, float]]]) -> tuple[dict[W, float], float]:
    """Split logarithms of seconds into a part of the way and a part of the round, by medians in turn.

    Returns the parts of the ways, and the standard deviation of what is left, estimated so that bursts do not count.
    """
    logs = {way: [(number, math.log(max(taken, 1e-12))) for number, taken in one] for way, one in samples.items()}
    logs = {way: one for way, one in logs.items() if one}
    rounds = {number: 0.0 for one in logs.values() for number, _ in one}
    ways = dict.fromkeys(logs, 0.0)
    for _ in range(SWEEPS):
        ways = {way: median([value - rounds[number] for number, value in one]) for way, one in logs.items()}
        left: dict[int, list[float]] = {number: [] for number in rounds}
        for way, one in logs.items():
            for number, value in one:
                left[number].append(value - ways[way])
        rounds = {number: median(values) for number, values in left.items()}
        middle = median(rounds.values())
        rounds = {number: value - middle for number, value in rounds.items()}
    rest = [abs(value - rounds[number] - ways[way]) for way, one in logs.items() for number, value in one]
    freedom = len(rest) - len(ways) - len(rounds) + 1
    seen = 1.4826 * median(rest) * math.sqrt(len(rest) / freedom) if freedom > 0 else NOISE
    freedom = max(0, freedom)
    return ways, math.sqrt((WEIGHT * NOISE**2 + freedom * seen**2) / (WEIGHT + freedom))
