"""Two unknowns from a few runs: seconds per byte and seconds per layer, and how well they are known.

Least squares of relative errors with a weak opinion about the second unknown. So one run is enough, two of much the
same size do no harm, and two that lie apart decide. Runs far off the line of three or more others count for less.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .pace import LLAMA_CPP

#: The opinion: the geometric middle of what was seen on other machines. Its standard deviation is as large as itself,
#: or `OPINION` of the time per layer of the fastest run here where that is more.
USUAL_PER_LAYER = math.sqrt(math.prod(LLAMA_CPP.seconds_per_layer))
OPINION = 0.2
#: Reading never takes a smaller part of a token's time than this, however noisy the runs were.
LEAST_READING = 0.3
OUTLYING = 1.5  # standard deviations from where on a run counts for less
ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Observation:
    """One run. `doubt` is the standard deviation of its seconds, as a share of them."""

    bytes: float  # per token
    layers: float
    seconds: float  # per token
    doubt: float


@dataclass(frozen=True, slots=True)
class Fit:
    """The two unknowns and the covariance of their errors."""

    seconds_per_byte: float
    seconds_per_layer: float
    variance_byte: float
    variance_layer: float
    covariance: float

    def seconds(self, bytes: float, layers: float) -> float:
        """Seconds per token."""
        return bytes * self.seconds_per_byte + layers * self.seconds_per_layer

    def doubt(self, bytes: float, layers: float) -> float:
        """Standard deviation of `seconds(bytes, layers)` as a share of it: small near the runs, large far away."""
        variance = bytes**2 * self.variance_byte + layers**2 * self.variance_layer
        variance += 2 * bytes * layers * self.covariance
        return math.sqrt(max(0.0, variance)) / self.seconds(bytes, layers)


def fit(runs: Sequence[Observation]) -> Fit:
    """The line through `runs`, of which there is at least one. Neither unknown comes out negative."""
    per_layer = min(one.seconds / one.layers for one in runs)
    usual = min(USUAL_PER_LAYER, per_layer / 2)
    opinion = max(usual, OPINION * per_layer)  # its standard deviation
    floor = LEAST_READING * min(one.seconds / one.bytes for one in runs)
    weights = [1.0] * len(runs)
    solved = _solve(runs, weights, usual, opinion, floor)
    for _ in range(ROUNDS if len(runs) > 2 else 0):
        errors = [abs(1 - solved.seconds(one.bytes, one.layers) / one.seconds) / one.doubt for one in runs]
        weights = [min(1.0, OUTLYING / error) if error else 1.0 for error in errors]
        solved = _solve(runs, weights, usual, opinion, floor)
    return solved


def _solve(runs: Sequence[Observation], weights: Sequence[float], usual: float, opinion: float, floor: float) -> Fit:
    """Least squares of `1 - (bytes * x + layers * y) / seconds` and of the opinion on y, each over its doubt."""
    xx = xy = x1 = 0.0
    yy, y1 = 1 / opinion**2, usual / opinion**2
    for one, weight in zip(runs, weights, strict=True):
        a, b, w = one.bytes / one.seconds, one.layers / one.seconds, weight / one.doubt**2
        xx, xy, yy = xx + w * a * a, xy + w * a * b, yy + w * b * b
        x1, y1 = x1 + w * a, y1 + w * b
    determinant = xx * yy - xy * xy
    x, y = (yy * x1 - xy * y1) / determinant, (xx * y1 - xy * x1) / determinant
    if y < 0:
        x, y = x1 / xx, 0.0
    if x < floor:
        x, y = floor, max(0.0, (y1 - xy * floor) / yy)
    left_over = sum(
        weight * ((1 - (one.bytes * x + one.layers * y) / one.seconds) / one.doubt) ** 2
        for one, weight in zip(runs, weights, strict=True)
    )
    scale = max(1.0, left_over / len(runs))  # runs further off the line than they were said to be: trust all less
    return Fit(x, y, scale * yy / determinant, scale * xx / determinant, -scale * xy / determinant)
