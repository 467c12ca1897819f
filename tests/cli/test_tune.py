"""`edgelfm tune`: what was tried and chosen, for people and for programs; and forgetting it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_it_measures_keeps_and_forgets(
    edgelfm: Callable[..., Any], tiny_path: Path, environment: dict[str, str]
) -> None:
    environment["EDGELFM_CACHE"] = str(tiny_path.parent / "tuned")
    told = edgelfm("tune", str(tiny_path), "--seconds", "1")
    assert told.status == 0
    assert "tokens/s" in told.out.lower()
    assert "flash attention" in told.out
    data = json.loads(edgelfm("tune", str(tiny_path), "--seconds", "1", "--json").out)
    assert data["record"]["threads"] >= 1
    assert data["record"]["decode"]["seconds"] > 0
    assert set(data["as_planned"]) == {"threads", "threads_prefill", "flash_attention", "micro_batch"}
    forgotten = json.loads(edgelfm("tune", "--forget", "--json").out)
    assert forgotten["forgotten"] >= 1
    assert json.loads(edgelfm("tune", "--forget", "--json").out) == {"forgotten": 0}


def test_no_time_is_a_usage_error(edgelfm: Callable[..., Any], tiny_path: Path) -> None:
    assert edgelfm("tune", str(tiny_path), "--seconds", "0").status == 2
