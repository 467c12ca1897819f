"""What MLX may take: what this process can get, not what the machine has."""

from __future__ import annotations

from pathlib import Path

import pytest

import edgelfm
from edgelfm.backends.mlx import limits
from edgelfm.backends.mlx.library import library
from edgelfm.hardware.memory import Memory, read_memory


def test_the_limit_is_what_is_free_beside_what_is_taken(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mx, read = library().mx, []

    def reading(*asked: object) -> Memory:
        read.append((mx.get_active_memory(), read_memory(*asked)))  # type: ignore[arg-type]
        return read[-1][1]

    monkeypatch.setattr(limits, "read_memory", reading)
    mx.set_memory_limit(2**60)
    with edgelfm.load(tiny_folder, backend="mlx", tune=False, progress=False):
        ((taken, memory),) = read
        assert mx.set_memory_limit(2**60) == taken + memory.available_bytes
