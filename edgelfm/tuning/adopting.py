"""When a model must be measured, and the plan that follows from it for the model that is open."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..backends import registry
from ..errors import BackendError, DoesNotFit
from ..models import catalog
from ..monitor.cores import cores_taken
from ..planning import plan as make_plan
from ..planning import record_store
from ..planning.plan import Candidate, Plan, Settings
from ..planning.recording import computed_on
from ..planning.records import Record, build, fingerprint, network
from .progress import Show
from .tune import FIRST_USE_SECONDS, tune

if TYPE_CHECKING:
    from ..backends.base import Session

#: Backends whose settings can be measured. The others decide for themselves.
TUNABLE = ("llama.cpp",)


def first_use(session: Session, plan: Plan, candidate: Candidate, *, progress: bool | Show = False) -> Plan | None:
    """Measure what was never measured here, and return the plan that follows. None if the plan is to stay.

    What cannot be measured runs as planned, and the advice of the plan says why. Raises nothing of its own.
    """
    if candidate.backend not in TUNABLE or known(plan, candidate):
        return None
    # Found out once, flash attention stays: other programs have no part in it, and states on disk are laid out by it,
    # which would be worth nothing after a change.
    trials = ([one for one in record.tried if one.setting == "flash_attention"] for record in _earlier(plan, candidate))
    attention = next(filter(None, trials), [])
    try:
        tuned = tune(session, plan, candidate, seconds=FIRST_USE_SECONDS, progress=progress, attention=attention)
    except (DoesNotFit, BackendError) as error:
        return replace(plan, advice=(*plan.advice, f"settings are estimated, not measured: {error.message}"))
    return replanned(plan, candidate, tuned.record)


def known(plan: Plan, candidate: Candidate) -> bool:
    """Whether this network in this quantization was measured here, at a time no busier than now.

    On a busier machine the session gives threads back by itself, so what was found in quiet still serves. What was
    found beside others says nothing about a quiet machine.
    """
    if candidate.model.architecture is None:
        return True  # nothing could be recorded of it
    taken = [one.cores_taken for one in _earlier(plan, candidate)]
    if not taken or not min(taken):
        return bool(taken)
    return min(taken) <= round(cores_taken() or 0.0)


def _earlier(plan: Plan, candidate: Candidate) -> list[Record]:
    """What was recorded of this network in this quantization, however busy the machine was."""
    if candidate.model.architecture is None:
        return []
    wanted = (
        fingerprint(plan.host), candidate.backend, build(plan.host, candidate.backend),
        network(candidate.model.architecture, plan.request.adapter), candidate.quantization,
        computed_on(candidate.settings),
    )  # fmt: skip
    return [one for one in record_store.read() if one.key[:-1] == wanted]


def reopen(session: Session, before: Settings, after: Settings) -> None:
    """Let an open session go on with other settings, if any value is another. Reasons and grades are no change."""
    from ..backends.llama_cpp.session import LlamaSession

    old, new = ({name: one.value for name, one in settings.decisions().items()} for settings in (before, after))
    if isinstance(session, LlamaSession) and old != new:
        session.reconfigure(after)


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
        on_disk=frozenset({candidate.artifact}),
        records=(*(one for one in record_store.read() if one.key != record.key), record),
        cores_taken=record.cores_taken,
    )
    same = next((one for one in again.candidates if one.artifact == candidate.artifact), None)
    if same is None:
        return plan
    rest = tuple(one for one in again.candidates if one is not same)
    return replace(again, candidates=(same, *rest))
