"""Everything that is the same for all candidates of one plan, worked out once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..decision import Decision
from ..hardware.host import Host
from ..hardware.profiles import Match
from ..models.entry import Artifact, ModelEntry
from .acceleration import OTHERS, Acceleration, acceleration
from .budget import memory_budget
from .calibration import Evidence, evidence
from .plan import Budget, Request
from .records import Computed, Record, build, fingerprint
from .repacking import repacked_types
from .settings import thread_bound, threads
from .speed import memory_bandwidth


@dataclass(frozen=True, slots=True)
class Situation:
    """The machine, what was asked for, and what follows from the two."""

    host: Host
    match: Match
    request: Request
    catalog: tuple[ModelEntry, ...]
    on_disk: frozenset[Artifact]  # artifacts whose files are here already
    accelerator: Acceleration
    budget: Budget
    bandwidth: Decision[float | None]  # bytes per second, of the memory where models go first
    main_bandwidth: Decision[float | None]  # of main memory, for what a discrete GPU has no room for
    repacked_types: frozenset[str]  # storage types that llama.cpp rewrites for this CPU
    threads: Decision[int]
    threads_prefill: Decision[int]
    thread_bound: Decision[int] | None  # beyond which no measurement leads
    thread_bound_prefill: Decision[int] | None
    records: tuple[Record, ...] = ()  # of any host
    cores_taken: int = 0  # by other programs now
    evidence: dict[tuple[str, Computed], Evidence] = field(default_factory=dict)  # by backend and device, of this host

    def for_backend(self, backend: str) -> Situation:
        """The same machine as another runtime than llama.cpp can use it: its own GPU, with that GPU's memory."""
        if backend not in OTHERS:
            return self
        accelerator = acceleration(self.host, backend)
        return replace(
            self,
            accelerator=accelerator,
            budget=memory_budget(self.host, self.match, self.request, accelerator),
            bandwidth=memory_bandwidth(self.host, self.match, accelerator),
        )


def situation(
    host: Host,
    match: Match,
    catalog: Sequence[ModelEntry],
    request: Request,
    on_disk: frozenset[Artifact],
    records: Sequence[Record] = (),
    cores_taken: int = 0,
) -> Situation:
    """Look at the machine once."""
    accelerator = acceleration(host)
    policy = match.profile.threads
    return Situation(
        host=host,
        match=match,
        request=request,
        catalog=tuple(catalog),
        on_disk=on_disk,
        accelerator=accelerator,
        budget=memory_budget(host, match, request, accelerator),
        bandwidth=memory_bandwidth(host, match, accelerator),
        main_bandwidth=memory_bandwidth(host, match, Acceleration(None)),
        repacked_types=repacked_types(host),
        threads=threads(host.cpu, policy, request, prefill=False),
        threads_prefill=threads(host.cpu, policy, request, prefill=True),
        thread_bound=thread_bound(host.cpu, policy, prefill=False),
        thread_bound_prefill=thread_bound(host.cpu, policy, prefill=True),
        records=tuple(records),
        cores_taken=cores_taken,
        evidence=_evidence(host, records, cores_taken),
    )


def _evidence(host: Host, records: Sequence[Record], cores_taken: int) -> dict[tuple[str, Computed], Evidence]:
    if not records:
        return {}
    name = fingerprint(host)
    mine = [one for one in records if one.host == name]
    return {
        (backend, device): evidence(
            mine, host=name, backend=backend, build=build(host, backend), device=device, cores_taken=cores_taken
        )
        for backend, device in {(one.backend, one.device) for one in mine}
    }
