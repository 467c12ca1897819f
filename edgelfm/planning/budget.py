"""How much memory may a model take on this machine? Really available, minus what the profile leaves to others."""

from __future__ import annotations

from ..hardware.host import Host
from ..hardware.profiles import Match
from ..units import format_bytes
from .acceleration import Acceleration
from .plan import Budget, Request


def memory_budget(host: Host, match: Match, request: Request, accelerator: Acceleration) -> Budget:
    """Bytes of main memory and, where a discrete GPU is in use, of its own memory.

    A GPU that shares main memory adds nothing: its bytes are the host's and are counted once. A request for a fixed
    amount replaces the reserve, but never goes beyond what is there.
    """
    available, reserve = host.memory.available_bytes, match.profile.reserve_bytes
    usable = max(0, available - reserve)
    reason = (
        f"{format_bytes(available)} available minus {format_bytes(reserve)} that profile {match.profile.id} leaves "
        "to the system"
    )
    limit = host.memory.limit_bytes
    if limit is not None and limit < host.memory.total_bytes:
        reason += f"; limited to {format_bytes(limit)} by {host.memory.limit_source or 'the container'}"
    if request.memory_bytes is not None:
        usable = min(request.memory_bytes, available)
        reason = f"{format_bytes(usable)} as asked for, without the profile's reserve"
        if usable < request.memory_bytes:
            reason = (
                f"all of the {format_bytes(available)} available; {format_bytes(request.memory_bytes)} was asked for"
            )
    return Budget(available, reserve, usable, reason, accelerator.own_bytes)
