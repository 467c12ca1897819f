"""What servers on this machine have, among the candidates of a plan: after all that runs here by itself.

Asks the usual ports of loopback only, which takes a fraction of a millisecond where nobody listens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .backends.remote.server import Server
    from .planning.plan import Candidate, Plan, Rejected

REMOTE = "remote"
_PATIENCE = 0.2  # seconds for each part of each answer; a server that is slower can be named


def with_servers(made: Plan, *, ask: bool = True) -> Plan:
    """`made` with the served models that meet its request at the end. They are first if nothing else runs here.

    Without `ask`, offline or for another machine, nobody is asked.
    """
    if made.request.adapter is not None:  # a server has the adapters that it was started with
        return made
    asked = made.request.backend == REMOTE
    if not asked and (made.request.backend is not None or REMOTE not in made.match.profile.backends):
        return made
    from .backends.remote.discovery import discover
    from .planning.plan import Rejected

    servers = discover(_PATIENCE) if ask else ()
    ways = [one for server in servers for one in _ways(made, server)]
    found = [one for one in ways if not isinstance(one, Rejected)]
    if found and find_spec("openai") is None:
        more = tuple(f"{one.reason}: pip install 'edgelfm[remote]'" for one in found[:1])
        return replace(made, advice=(*made.advice, *more))
    turned_down = [one for one in ways if isinstance(one, Rejected)]
    rejected = (*turned_down, *(one for one in made.rejected if one.backend != REMOTE))
    if asked and not ways:
        model = made.request.model.name if made.request.model else f"a model for {made.request.task}"
        there = ", ".join(f"{server.name} at {server.url}" for server in servers)
        reason = f"no server on this machine has it; found {there}" if servers else "no server answers on this machine"
        fix = 'start one, as in: ollama serve; or name it: edgelfm.connect("http://…")'
        if not ask:
            reason, fix = "servers are asked on this machine only", 'edgelfm.connect("http://…")'
        rejected = (Rejected(model, REMOTE, "", reason, fix, cause="backend"), *rejected)
    return replace(made, candidates=(*made.candidates, *found), rejected=rejected)


def _ways(made: Plan, server: Server) -> Iterator[Candidate | Rejected]:
    """Models of `server` that the request could mean: the named one, or those of the catalogue for its task. Those that
    are served otherwise than was asked are turned down."""
    from .backends.remote.candidate import candidate, entry_for
    from .planning.plan import Rejected
    from .planning.ranking import belongs

    request = made.request
    for served in server.models:
        entry, known = entry_for(served)
        if served.embeds_only or not known:
            continue
        if not (entry.id == request.model.id if request.model else belongs(entry, request)):
            continue
        has, asked = served.quantization, request.quantization
        if asked and has and asked.casefold() != has.casefold():
            reason = f"{server.name} at {server.url} has it as {has}"
            yield Rejected(entry.id, REMOTE, has, reason, f"choose quantization {has}", cause="quantization")
        elif request.context and served.context and request.context > served.context:
            reason = f"{server.name} at {server.url} holds {served.context} tokens, {request.context} were asked for"
            yield Rejected(entry.id, REMOTE, has, reason, f"use context {served.context}", cause="context")
        else:
            if request.context:
                served = replace(served, context=request.context, context_from="asked for")
            yield candidate(server, served, entry)
