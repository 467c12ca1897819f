"""Two reports side by side: what differs in everything recorded, then each figure, and whether it is more than noise.

    comparison = compare(read_json("a.json"), read_json("b.json"))
    comparison.comparable                 # False if the machine, the weights or the conditions are not the same
    comparison.worse(by=0.05)             # changes for the worse beyond 5 % that are more than noise

A change is called one only if a rank test and the interval of the ratio agree (see `noise`). Fewer than four
repetitions on each side cannot show anything, and then it says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from . import noise
from .differences import Difference, between
from .figures import Figure, Key, figures
from .report import BenchReport, Result
from .statistics import Summary

Verdict = Literal["better", "worse", "noise", "cannot tell"]
Named = dict[tuple[str, int], Result]


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of one subject in both reports. Samples in `key.unit`."""

    subject: str
    key: Key
    a: Summary
    b: Summary
    ratio: float | None  # of the medians, b to a; None if one of them is zero
    interval: tuple[float, float] | None  # of the ratio, 95 %
    probability: float | None  # of such a difference if nothing had changed; None if nothing could be tested
    verdict: Verdict

    @property
    def loss(self) -> float:
        """How much worse b is, as a share: 0.1 is 10 % less speed or 10 % more time, memory or energy."""
        if self.ratio is None:
            return 0.0
        return 1 - self.ratio if self.key.higher_is_better else self.ratio - 1


@dataclass(frozen=True, slots=True)
class Comparison:
    """What became of report a in report b."""

    a: BenchReport
    b: BenchReport
    differences: tuple[Difference, ...]
    changes: tuple[Change, ...]  # in the order of a
    only_in: tuple[tuple[str, str], ...]  # "a" or "b", and what only that one has
    remarks: tuple[str, ...]  # what must be minded when reading the changes

    @property
    def comparable(self) -> bool:
        """Whether nothing that breaks a comparison differs."""
        return not any(one.breaks for one in self.differences)

    def worse(self, by: float = 0.0, subject: str | None = None) -> tuple[Change, ...]:
        """Changes for the worse of more than `by` (0.05 is 5 %) that are more than noise, of one subject or of all."""
        return tuple(
            one for one in self.changes if one.verdict == "worse" and one.loss > by and subject in (None, one.subject)
        )

    def __rich__(self) -> Any:
        """Tables for terminals."""
        from .show_comparison import comparison_table

        return comparison_table(self)


def compare(a: BenchReport, b: BenchReport) -> Comparison:
    """What differs between two reports, and which figures changed by more than noise."""
    of_a, of_b = _named(a), _named(b)
    pairs = [(name, of_a[name], of_b[name]) for name in of_a if name in of_b]
    changes = tuple(
        _change(name[0], key, figure, now[key])
        for name, was, result in pairs
        for now in [figures(result)]
        for key, figure in figures(was).items()
        if key in now
    )
    differences = between(a, b, [(one, other) for _, one, other in pairs])
    return Comparison(a, b, differences, changes, tuple(_only(of_a, of_b)), tuple(_remarks(pairs, changes)))


def _named(report: BenchReport) -> Named:
    """Results by name; a second one of the same name has the number 1."""
    found: Named = {}
    for result in report.results:
        number = sum(name == result.subject.name for name, _ in found)
        found[result.subject.name, number] = result
    return found


def _change(subject: str, key: Key, a: Figure, b: Figure) -> Change:
    was, now = a.samples, b.samples
    if was.low <= 0 or now.low <= 0:
        return Change(subject, key, was, now, None, None, None, "cannot tell")
    ratio = now.median / was.median
    if noise.smallest_probability(was.count, now.count) >= noise.LEVEL:
        return Change(subject, key, was, now, ratio, None, None, "cannot tell")
    probability = noise.probability(was.values, now.values)
    low, high = noise.ratio_interval(was.values, now.values)
    verdict: Verdict = "noise"
    if probability < noise.LEVEL and not low <= 1 <= high:
        verdict = "better" if (ratio > 1) is key.higher_is_better else "worse"
    return Change(subject, key, was, now, ratio, (low, high), probability, verdict)


def _only(of_a: Named, of_b: Named) -> Iterator[tuple[str, str]]:
    """Subjects that one report alone has, and figures of subjects that both have."""
    for side, mine, others in (("a", of_a, of_b), ("b", of_b, of_a)):
        for name, result in mine.items():
            if name not in others:
                yield side, name[0]
                continue
            other = figures(others[name])
            yield from ((side, f"{name[0]}: {key.label}") for key in figures(result) if key not in other)


def _remarks(pairs: list[tuple[tuple[str, int], Result, Result]], changes: tuple[Change, ...]) -> Iterator[str]:
    tested = sum(one.probability is not None for one in changes)
    if tested >= 10:
        yield f"of {tested} figures that did not change, about {round(tested * noise.LEVEL)} would be marked by chance"
    if any(one.verdict == "cannot tell" for one in changes):
        yield "cannot tell: it takes 4 repetitions on each side to tell a change from noise"
    for name in (one.subject.name for _, one, other in pairs if one.subject == other.subject):
        moved = [one.key for one in changes if one.subject == name and one.verdict in ("better", "worse")]
        what = dict.fromkeys(key.name for key in moved if key.kind in ("prefill", "decode"))
        if what:
            yield f"{name} is the same in both, yet its {' and '.join(what)} changed: the machine was not the same"
