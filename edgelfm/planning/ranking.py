"""Which of the ways that fit comes first, and the sentence that says why.

What people came for wins where it runs well: decode at or above `speed.COMFORTABLE`. Among ways that are all slower
than that, the fastest wins. Nothing here looks at memory; whoever does not fit never gets here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..models.entry import Artifact, ModelEntry
from .on_the_fly import derived
from .plan import Candidate, Request
from .speed import COMFORTABLE, comfortable, midpoint

#: One runtime is only called faster than another here beyond what two runs of one differ by.
CLEARLY = 1.1
#: llama.cpp's quantizations in the words of other runtimes, so that one order in a profile serves all of them.
SAME_BITS = {
    "Q4_0": ("4bit", "q4", "int4"),
    "Q4_K_M": ("4bit", "q4", "int4"),
    "Q5_K_M": ("5bit",),
    "Q6_K": ("6bit",),
    "Q8_0": ("8bit", "q8", "int8"),
    "F16": ("fp16", "bf16"),
    "BF16": ("bf16",),
}


def belongs(entry: ModelEntry, request: Request) -> bool:
    """Whether the planner may propose `entry` unasked: current, made for the task, and not the starter."""
    return entry.status == "current" and request.task in entry.tasks and not is_starter(entry)


def is_starter(entry: ModelEntry) -> bool:
    """Whether the weights come inside a Python package: a model for demonstrations, not one people come for."""
    return bool(entry.artifacts) and all(one.repo.startswith("package:") for one in entry.artifacts)


def thinks_unasked(entry: ModelEntry, request: Request) -> bool:
    """Whether the model would think before every answer although nobody asked for reasoning."""
    return entry.thinking and request.model is None and request.task != "reason"


def preferred(entry: ModelEntry, backend: str, quantizations: Sequence[str], request: Request) -> tuple[Artifact, ...]:
    """The artifacts of `entry` for `backend` in the order to try them: the profile's taste, then smallest first.

    A named model is tried in everything it comes in. One proposed unasked is tried in what the profile names, and in
    the rest only where it names nothing this model has.
    """
    published = [one for one in entry.artifacts if one.backend == backend]
    if request.quantization is not None:
        named = request.quantization.lower()
        made = derived(published, named) if backend == "transformers" else ()
        return made or tuple(one for one in published if one.quantization.lower() == named)
    wanted = list(dict.fromkeys(word for name in quantizations for word in (name, *SAME_BITS.get(name, ()))))
    liked = sorted(
        (one for one in published if one.quantization in wanted), key=lambda one: wanted.index(one.quantization)
    )
    rest = sorted((one for one in published if one.quantization not in wanted), key=_published_bytes)
    return tuple(liked + rest if request.model is not None else liked or rest)


def best_quantization(candidates: Sequence[Candidate]) -> Candidate:
    """Of one model in several quantizations, in order of preference: the first that runs well, else the fastest.

    Among those that are about as fast, the order stands.
    """
    fastest = max(map(_pace, candidates), default=0.0)
    well = (one for one in candidates if comfortable(one.decode))
    return next(well, None) or next(one for one in candidates if CLEARLY * _pace(one) >= fastest)


def rank(candidates: Iterable[Candidate], backends: Sequence[str]) -> list[Candidate]:
    """Best first. The order given breaks ties, so quantizations of one model keep the profile's order."""

    def key(one: Candidate) -> tuple[bool, float, int, int]:
        slow = not comfortable(one.decode)
        place = backends.index(one.backend) if one.backend in backends else len(backends)
        return slow, -_pace(one) if slow else 0.0, -one.model.preference, place

    return _measured_first(sorted(candidates, key=key))


def _measured_first(ranked: list[Candidate]) -> list[Candidate]:
    """Of one model the runtime that was measured to be the fastest here comes first, whatever the profile expects.

    Among quantizations in one runtime the profile's order stays: the fastest is rarely the best.
    """
    for model in dict.fromkeys(one.model.id for one in ranked):
        firsts = list({one.backend: one for one in reversed(ranked) if one.model.id == model}.values())
        usual = next(one for one in ranked if one.model.id == model)
        known = [one for one in firsts if one.decode.grade == "measured"]
        fastest = max(known, key=_pace, default=usual)
        if usual in known and _pace(fastest) > CLEARLY * _pace(usual):
            ranked = [one for one in ranked if one is not fastest]
            ranked.insert(ranked.index(usual), fastest)
    return ranked


def passed_over(ranked: Sequence[Candidate]) -> str:
    """The runtime that the first choice is faster than, in words; empty if the profile's own order stands."""
    first = ranked[0]
    others = (one for one in ranked[1:] if one.model.id == first.model.id and one.backend != first.backend)
    other = next((one for one in others if one.decode.grade == first.decode.grade == "measured"), None)
    if other is None or _pace(first) <= CLEARLY * _pace(other):
        return ""
    return f"; {other.backend} was measured at {_figure(_pace(other))}"


def reason(candidate: Candidate, first: Candidate, request: Request, instead: str = "") -> str:
    """Why `candidate` stands where it stands, `first` being the one that was chosen.

    `instead` says which model it stands in for, and why that one was passed over.
    """
    pace = midpoint(candidate.decode)
    speed = "speed unknown" if pace is None else f"about {_figure(pace)} tokens/s"
    slow = not comfortable(candidate.decode)
    if slow:
        speed += f", below the {COMFORTABLE:.0f} that read comfortably"
    if candidate is first:
        if request.model is not None:
            return f"the model asked for; {speed}{instead}"
        if slow:
            return f"the fastest that fits; {speed}{instead}"
        which = "fit" if pace is None else "run well"
        return f"the first choice for {request.task} among those that {which} here; {speed}{instead}"
    if slow:
        return speed
    verdict = "fits" if pace is None else "runs well"
    if candidate.model.id == first.model.id:
        return f"{verdict}; the profile prefers {first.quantization} on {first.backend}"
    return f"{verdict}; less asked for in {request.task}"


def _figure(pace: float) -> str:
    """`15`, `7.7`: so that what is below a limit does not read as the limit."""
    return f"{pace:.1f}" if pace < 10 else f"{pace:.0f}"


def _pace(candidate: Candidate) -> float:
    return midpoint(candidate.decode) or 0.0


def _published_bytes(artifact: Artifact) -> int:
    return sum(file.bytes or 0 for file in artifact.files)
