"""A machine made of a few files, for tests that need no whole board."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgelfm.hardware.machine import Machine

Build = Callable[..., Machine]


@pytest.fixture
def build_machine(tmp_path: Path) -> Build:
    """`build_machine({"/proc/meminfo": "..."}, commands={"vm_stat": "..."}, machine="x86_64", denied=[...])`."""
    made = 0

    def build(files: dict[str, str] | None = None, commands: dict[str, str] | None = None, **facts: Any) -> Machine:
        nonlocal made
        made += 1
        folder = tmp_path / f"machine-{made}"
        (folder / "root").mkdir(parents=True)
        (folder / "commands").mkdir()
        for path, text in (files or {}).items():
            target = folder / "root" / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        for number, (command, text) in enumerate((commands or {}).items()):
            (folder / "commands" / f"{number}.txt").write_text(f"$ {command}\n{text}", encoding="utf-8")
        described = {"system": "Linux", "machine": "x86_64", **facts}
        (folder / "machine.json").write_text(json.dumps(described), encoding="utf-8")
        return Machine.from_folder(folder)

    return build
