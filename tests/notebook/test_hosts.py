"""The machines that notebook 02 plans for are those that the tests know."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

import edgelfm

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks" / "hosts"


def test_the_files_are_what_the_script_writes() -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "make_notebook_hosts.py"))["made"]()
    assert made == {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}, (
        "python scripts/make_notebook_hosts.py"
    )


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.stem)
def test_a_plan_can_be_made_from_each(path: Path) -> None:
    plan = edgelfm.plan(host=path)
    assert (plan.chosen is None) == (path.stem == "raspberry-pi-zero-2w")
