"""Memory that can be spared, as this machine says."""

from __future__ import annotations

import psutil

from edgelfm.backends.room import SPARE_BYTES, room_for


def test_a_little_can_be_had_and_more_than_there_is_cannot() -> None:
    assert room_for(1) == (psutil.virtual_memory().available > SPARE_BYTES)
    assert not room_for(psutil.virtual_memory().total)
