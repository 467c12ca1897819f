"""What would make this machine better at it: a runtime that is missing, a GPU that stands idle, a demonstration."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from ..units import format_bytes
from .acceleration import INTERFACES
from .candidates import appraise
from .plan import Candidate
from .ranking import is_starter
from .rejections import install_command, installed
from .situation import Situation


def advice(
    here: Situation, ranked: Sequence[Candidate], backends: Sequence[str], drivable: Collection[str]
) -> Iterator[str]:
    """Lines for people, most useful first. Gains that nobody has measured are called unknown."""
    yield from _backends(here, ranked, backends, drivable)
    runtime = here.host.runtime("llama.cpp")
    if here.accelerator.advice:
        yield here.accelerator.advice
    elif runtime is not None and runtime.advice:
        yield runtime.advice
    yield from _unusable_gpus(here)
    if not ranked and here.request.model is None:
        yield from _starter(here)


def _backends(
    here: Situation, ranked: Sequence[Candidate], backends: Sequence[str], drivable: Collection[str]
) -> Iterator[str]:
    """Backends that the profile puts before the one that was chosen."""
    if not ranked:
        return
    chosen = ranked[0]
    for backend in backends[: backends.index(chosen.backend)]:
        if installed(here.host, backend) and backend in drivable:
            continue
        if not any(one.backend == backend for one in chosen.model.artifacts):
            continue
        gain = _published_gain(here, chosen, backend)
        command = install_command(here.host, backend)
        if backend in drivable:
            yield f"{command}: this profile puts {backend} before {chosen.backend}; {gain}"
        elif installed(here.host, backend):
            yield f"{backend} is installed, but this version of edgelfm does not open it; {gain}"
        else:
            yield (
                f"this profile puts {backend} before {chosen.backend}, but this version of edgelfm does not open it; "
                f"one that does will need {command}; {gain}"
            )


def _published_gain(here: Situation, chosen: Candidate, backend: str) -> str:
    for one in here.match.profile.references:
        if one.model == chosen.model.id and backend in one.runtime.lower() and one.decode:
            return f"published there: {one.decode:g} tokens/s in {one.quantization} ({one.source})"
    return "what it would gain is unknown"


def _unusable_gpus(here: Situation) -> Iterator[str]:
    for gpu in here.host.gpus:
        if not gpu.usable and gpu.vendor in INTERFACES and gpu.reason:
            yield f"the {gpu.name} is not used: {gpu.reason}"


def _starter(here: Situation) -> Iterator[str]:
    """The demonstration model, where no LFM fits and it does."""
    for entry in here.catalog:
        if not is_starter(entry) or not installed(here.host, "llama.cpp"):
            continue
        result = appraise(here, entry, entry.artifacts[0])
        if isinstance(result, Candidate):
            yield (
                f"for a demonstration, edgelfm.load({entry.id!r}) takes {format_bytes(result.memory.total)}: "
                f"{entry.name}, not a Liquid model"
            )
