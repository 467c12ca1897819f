"""What MLX may take: what this process can get, not what the machine has."""

from __future__ import annotations

from pathlib import Path

import pytest

import edgelfm
from edgelfm.backends.mlx.library import library
from edgelfm.hardware.cgroups import read_limits
from edgelfm.hardware.machine import Machine
from edgelfm.hardware.memory import read_memory


def test_the_limit_is_what_is_free_beside_what_is_taken(tiny_folder: Path) -> None:
    mx = library().mx
    here = Machine.here()
    mx.set_memory_limit(2**60)
    with edgelfm.load(tiny_folder, backend="mlx", tune=False, progress=False):
        free = read_memory(here, read_limits(here)).available_bytes
        assert mx.set_memory_limit(2**60) == pytest.approx(free + mx.get_active_memory(), rel=0.2)
