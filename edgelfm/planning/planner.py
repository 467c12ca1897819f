"""From facts to a plan: every eligible model on every usable backend, ranked, and the rest with what would help.

Pure: no file is opened, no runtime imported. Models, machine, profile and request come in, a `Plan` goes out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from ..hardware.host import Host
from ..hardware.profiles import Match
from ..models.entry import Artifact, ModelEntry
from . import openings, rejections
from .adapting import takes
from .advice import advice
from .candidates import appraise
from .on_the_fly import BITS, maker
from .plan import Candidate, Facts, Plan, Rejected, Request
from .ranking import belongs, best_quantization, passed_over, preferred, rank, reason, thinks_unasked
from .records import Record
from .settings import KV_AS_COMPUTED
from .situation import Situation, situation
from .speed import comfortable, midpoint

#: Tokens that a thinking model spends before its answer, in ordinary questions. A round figure to give an idea of the
#: wait; nothing is decided by it.
THOUGHT = 500


def plan(
    host: Host,
    match: Match,
    catalog_entries: Sequence[ModelEntry],
    request: Request = Request(),  # noqa: B008 - frozen
    *,
    drivable: Collection[str] = frozenset({"llama.cpp"}),
    on_disk: frozenset[Artifact] = frozenset(),
    records: Sequence[Record] = (),
    cores_taken: int = 0,
    remarks: Sequence[str] = (),
) -> Plan:
    """Decide which model, backend, quantization and settings suit `host`, and say why.

    `drivable` names the backends that this program can open. `on_disk` are artifacts that need no download.
    `records` are what was measured, on this host or others; those of this host, taken while about `cores_taken` cores
    were busy with other programs, replace estimates. `remarks` about them are added to the advice. A model named in
    the request is never exchanged for another, and no value the request fixes is ever changed. Never raises for a
    request that cannot be met: the plan then has no candidate, and `require` turns it into an error.
    """
    here = situation(host, match, catalog_entries, request, on_disk, records, cores_taken)
    eligible = [request.model] if request.model else [entry for entry in here.catalog if belongs(entry, request)]
    eligible.sort(key=lambda entry: -entry.preference)
    backends = _backends(here)
    found: list[Candidate] = []
    turned_down: list[Rejected] = []
    for backend in backends:
        with_it = here.for_backend(backend)
        usable, why_not = _usable(with_it, eligible, backend, frozenset(drivable))
        if not usable:
            turned_down += why_not
            continue
        for entry in eligible:
            ways, failed = _ways(with_it, entry, backend)
            found += ways
            turned_down += failed
    for one in (one for one in found if thinks_unasked(one.model, request)):
        pace = midpoint(one.decode)
        turned_down.append(rejections.unasked_thinking(one, THOUGHT / pace if pace else None))
    ranked = rank((one for one in found if not thinks_unasked(one.model, request)), backends)
    if not ranked and request.model is not None:
        turned_down = _with_smaller_model(here, turned_down, drivable)
    instead = _instead(eligible[0], ranked, turned_down) if eligible and ranked else ""
    instead += passed_over(ranked) if ranked else ""
    return Plan(
        host=host,
        match=match,
        request=request,
        budget=here.budget,
        candidates=tuple(replace(one, reason=reason(one, ranked[0], request, instead)) for one in ranked),
        rejected=tuple(sorted(turned_down, key=rejections.closeness)),
        advice=(*advice(here, ranked, backends, drivable), *remarks),
        facts=Facts(here.catalog, frozenset(drivable), on_disk, here.records, cores_taken, tuple(remarks)),
    )


def _instead(wanted: ModelEntry, ranked: Sequence[Candidate], turned_down: Sequence[Rejected]) -> str:
    """Why the model that people come for was passed over, if it was."""
    if ranked[0].model.id == wanted.id:
        return ""
    slower = next((one for one in ranked if one.model.id == wanted.id), None)
    if slower is not None:
        return f"; {wanted.name} would give about {midpoint(slower.decode) or 0:.1f}"
    no = next((one for one in turned_down if one.model == wanted.id and one.cause != "unsupported"), None)
    return f"; {wanted.name}: {no.reason}" if no is not None else ""


def _backends(here: Situation) -> tuple[str, ...]:
    """The profile's order; one asked for alone; a named model's own where the profile has none that it comes for.

    Without the GPU of a Mac, MLX comes last wherever the profile has it; see `pace.MLX_CPU`.
    """
    if here.request.backend is not None:
        return (here.request.backend,)
    listed, named = here.match.profile.backends, here.request.model
    if named is not None and not any(one.backend in listed for one in named.artifacts):
        listed = tuple(dict.fromkeys((*listed, *(one.backend for one in named.artifacts))))
    if here.host.os.system != "darwin":
        listed = tuple(sorted(listed, key=lambda name: name == "mlx"))
    return listed


def _usable(
    here: Situation, eligible: Sequence[ModelEntry], backend: str, drivable: frozenset[str]
) -> tuple[bool, list[Rejected]]:
    """Whether `backend` can be opened here, and if not, the best that it would have run."""
    if (adapter := here.request.adapter) is not None and not takes(backend, adapter):
        return False, [rejections.no_adapter(eligible[0], backend, adapter)] if eligible else []
    names = here.match.profile.quantizations
    best = next(
        ((entry, ways[0]) for entry in eligible if (ways := preferred(entry, backend, names, here.request))), None
    )
    if backend not in drivable:
        if best is not None:
            return False, [rejections.unopenable(here.host, best[0].id, backend, best[1].quantization, drivable)]
        asked_for = here.request.backend is not None and eligible
        return False, [rejections.unopenable(here.host, eligible[0].id, backend, "", drivable)] if asked_for else []
    kv_type = here.request.kv_type
    if best is not None and kv_type and kv_type != "f16" and backend in KV_AS_COMPUTED:
        return False, [rejections.kv_as_computed(*best, kv_type, sorted(drivable - KV_AS_COMPUTED))]
    if rejections.installed(here.host, backend):
        return True, []
    tried = [_ways(here, entry, backend) for entry in eligible]
    would = rank((one for found, _ in tried for one in found), (backend,))
    would = [one for one in would if not thinks_unasked(one.model, here.request)]
    if would:
        first = would[0]
        return False, [rejections.missing(here.host, first.model.id, backend, first.quantization, first)]
    no_help = [one for _, failed in tried for one in failed]  # it would not fit with the runtime either
    if no_help:
        return False, [min(no_help, key=rejections.closeness)]
    return False, [rejections.missing(here.host, best[0].id, backend, best[1].quantization)] if best else []


def _ways(here: Situation, entry: ModelEntry, backend: str) -> tuple[list[Candidate], list[Rejected]]:
    """All quantizations of a named model that fit; of one proposed unasked only the best, or why none does."""
    request = here.request
    artifacts = preferred(entry, backend, here.match.profile.quantizations, request)
    published = next((one for one in entry.artifacts if one.backend == backend), None)
    if published is not None and not rejections.knows(backend, entry):
        return [], [rejections.unknown_architecture(entry, backend, (artifacts or (published,))[0].quantization)]
    if not artifacts:
        asked_for = request.backend is not None or (published is not None and request.quantization is not None)
        return [], [rejections.unpublished(entry, backend, request.quantization or "", here.host)] if asked_for else []
    found: list[Candidate] = []
    failed: list[Rejected] = []
    for artifact in artifacts:
        result = _without_maker(here, entry, artifact) or appraise(here, entry, artifact)
        if isinstance(result, Rejected):
            failed.append(result)
            continue
        found.append(result)
        if request.model is None and comfortable(result.decode):
            break
    if request.model is not None:
        return found, failed
    if found:
        return [best_quantization(found)], []
    return [], [min(failed, key=rejections.closeness)]


def _without_maker(here: Situation, entry: ModelEntry, artifact: Artifact) -> Rejected | None:
    """Why weights of so few bits cannot be made here, if that is what they are and if it is so."""
    if artifact.backend != "transformers" or artifact.quantization not in BITS:
        return None
    accelerator = here.accelerator
    device = openings.device("transformers", accelerator, offloaded=accelerator.gpu is not None)
    runtime = here.host.runtime("transformers")
    where = device.value if device is not None else "cpu"
    if runtime is None or maker(artifact.quantization, where, runtime.build) is not None:
        return None
    return rejections.no_maker(entry, artifact.backend, artifact.quantization, where)


def _with_smaller_model(here: Situation, turned_down: list[Rejected], drivable: Collection[str]) -> list[Rejected]:
    """Name a model that does fit, beside the fixes for the one that was asked for."""
    request = replace(here.request, model=None, quantization=None)
    other = plan(
        here.host,
        here.match,
        here.catalog,
        request,
        drivable=drivable,
        on_disk=here.on_disk,
        records=here.records,
        cores_taken=here.cores_taken,
    ).chosen
    if other is None:
        return turned_down
    hint = f", or load {other.model.id}, which fits"
    return [replace(one, fix=one.fix + hint) if one.cause == "memory" else one for one in turned_down]
