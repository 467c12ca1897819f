"""When a model must be measured, and the plan that follows from it for the model that is open."""

from __future__ import annotations

from dataclasses import replace

from ..backends import registry
from ..models import catalog
from ..planning import plan as make_plan
from ..planning import record_store
from ..planning.plan import Candidate, Plan
from ..planning.recording import computed_on
from ..planning.records import Record, build, fingerprint, shape


def known(plan: Plan, candidate: Candidate, cores_taken: float | None) -> bool:
    """Whether this network in this quantization was measured here, at a time no busier than now.

    On a busier machine the session gives threads back by itself, so what was found in quiet still serves. What was
    found beside others says nothing about a quiet machine.
    """
    if candidate.model.architecture is None:
        return True  # nothing could be recorded of it
    wanted = (
        fingerprint(plan.host), candidate.backend, build(plan.host, candidate.backend),
        shape(candidate.model.architecture), candidate.quantization, computed_on(candidate.settings),
    )  # fmt: skip
    taken = round(cores_taken or 0.0)
    return any(one.key[:-1] == wanted and one.cores_taken <= taken for one in record_store.read())


def replanned(plan: Plan, candidate: Candidate, record: Record) -> Plan:
    """`plan` made again with `record`, for the artifact that is open, which comes first whatever is fastest now.

    What was asked for still holds. The plan is as it was if the artifact would not be chosen at all any more.
    """
    again = make_plan(
        plan.host,
        plan.match,
        tuple(catalog.load()),
        plan.request,
        drivable=registry.names(),
        records=(*(one for one in record_store.read() if one.key != record.key), record),
        cores_taken=record.cores_taken,
    )
    same = next((one for one in again.candidates if one.artifact == candidate.artifact), None)
    if same is None:
        return plan
    rest = tuple(one for one in again.candidates if one is not same)
    return replace(again, candidates=(same, *rest))
