"""Memory that can be spared, as this machine says."""

from __future__ import annotations

import pytest

from edgelfm.backends import room
from edgelfm.backends.room import SPARE_BYTES, room_for
from edgelfm.hardware.cgroups import read_limits
from edgelfm.hardware.machine import Machine
from edgelfm.hardware.memory import read_memory


def test_what_is_available_can_be_had_but_for_what_is_to_be_left(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Machine.here()
    memory = read_memory(here, read_limits(here))
    monkeypatch.setattr(room, "read_memory", lambda *_: memory)  # it changes from one look to the next
    assert room_for(memory.available_bytes - SPARE_BYTES)
    assert not room_for(memory.available_bytes - SPARE_BYTES + 1)
