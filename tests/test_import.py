"""`import edgelfm` is light, and the top of the package is the whole of what people need."""

from __future__ import annotations

import subprocess
import sys

import pytest

import edgelfm

HEAVY = (
    "torch", "transformers", "llama_cpp", "onnxruntime", "mlx", "ipywidgets", "pandas", "numpy", "pydantic",
    "huggingface_hub", "rich", "typer", "jinja2", "yaml", "psutil", "tqdm",
)  # fmt: skip


def test_nothing_heavy_is_imported() -> None:
    code = "import sys, edgelfm; print(*sorted(m for m in sys.modules if '.' not in m))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "edgelfm" in loaded
    assert not set(HEAVY) & set(loaded)


def test_what_only_some_calls_need_waits_for_them() -> None:
    """Making plans took half of the time that the import takes, and many who import make none."""
    code = "import sys, edgelfm; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    rooms = ("planning", "tuning", "bench", "notebook")
    assert [name for name in loaded if name.startswith(tuple(f"edgelfm.{room}" for room in rooms))] == []


@pytest.mark.parametrize("name", edgelfm.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    assert getattr(edgelfm, name).__doc__
