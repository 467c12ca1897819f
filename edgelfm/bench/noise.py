"""Is one handful of measurements really different from another? Ranks and resampling, with nothing but the samples.

The test is that of Mann and Whitney: it looks at ranks only, so one disturbed repetition does no harm, and its
probabilities are counted exactly for the few samples that a benchmark has (ties take their mean rank). The interval of
the ratio is a percentile bootstrap (Efron, 1979) of the medians, from a fixed seed.

What it cannot know: whether the machine itself was slower that day. Repetitions of one run share their hour.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence

LEVEL = 0.05  # of the test, and one minus that of the interval
_COUNTED = 24  # samples together, up to which all arrangements are counted
_ROUNDS = 1000


def probability(a: Sequence[float], b: Sequence[float]) -> float:
    """How often two draws from one distribution lie apart at least as far as these, in either direction."""
    ranks = _doubled_ranks([*a, *b])
    found = sum(ranks[: len(a)])
    if len(ranks) <= _COUNTED:
        return _counted(ranks, len(a), found)
    return _normal(ranks, len(a), found)


def smallest_probability(a: int, b: int) -> float:
    """What `probability` answers at best for so many samples: with every one of `a` beyond every one of `b`."""
    return min(1.0, 2 / math.comb(a + b, a))


def ratio_interval(a: Sequence[float], b: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Between which the ratio of medians, b to a, lies in 95 % of resamplings. Samples must be above zero."""
    draw = random.Random(seed)
    ratios = sorted(_median(draw.choices(b, k=len(b))) / _median(draw.choices(a, k=len(a))) for _ in range(_ROUNDS))
    edge = round(_ROUNDS * LEVEL / 2)
    return ratios[edge], ratios[-edge - 1]


def _median(values: list[float]) -> float:
    values.sort()  # `statistics.median` is half as fast, and this runs thousands of times
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def _doubled_ranks(values: Sequence[float]) -> list[int]:
    """Twice the rank of each value, which is whole even where equal values share a mean rank."""
    ordered = sorted(values)
    first: dict[float, int] = {}
    for place, value in enumerate(ordered):
        first.setdefault(value, place)
    number = Counter(ordered)
    return [2 * first[value] + number[value] + 1 for value in values]


def _counted(ranks: Sequence[int], size: int, found: int) -> float:
    """Share of all ways to choose `size` of the ranks whose sum is as far from the mean as `found`, or further."""
    sums: list[Counter[int]] = [Counter() for _ in range(size + 1)]
    sums[0][0] = 1
    for rank in ranks:
        for chosen in range(size, 0, -1):
            for total, ways in sums[chosen - 1].items():
                sums[chosen][total + rank] += ways
    centre = size * (len(ranks) + 1)  # of the doubled sum
    far = sum(ways for total, ways in sums[size].items() if abs(total - centre) >= abs(found - centre))
    return far / math.comb(len(ranks), size)


def _normal(ranks: Sequence[int], size: int, found: int) -> float:
    """The same by the normal approximation, which is close for many samples."""
    number = len(ranks)
    centre = size * (number + 1)
    squares = math.fsum((rank - (number + 1)) ** 2 for rank in ranks)
    variance = size * (number - size) * squares / (number * (number - 1))
    if variance == 0:
        return 1.0
    beyond = max(0.0, abs(found - centre) - 1)  # a step of the doubled sum is 2: half of it for continuity
    return math.erfc(beyond / math.sqrt(2 * variance))
