"""What is this machine? Frozen facts, read by probes that never raise and never decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .host import Host

if TYPE_CHECKING:
    from .machine import Machine

__all__ = ["Host", "inspect"]


def inspect(machine: Machine | None = None, *, bandwidth: bool = True) -> Host:
    """Look at this machine, or at a recorded one (`Machine.from_folder`). Never raises for what a probe meets.

    Takes well under 0.3 seconds, and the first time after a boot about 0.2 more to measure memory bandwidth, unless
    `bandwidth` is false. What could not be read is in `Host.remarks`, with the reason.
    """
    from .inspection import inspect_machine
    from .machine import Machine

    return inspect_machine(machine or Machine.here(), bandwidth=bandwidth)
