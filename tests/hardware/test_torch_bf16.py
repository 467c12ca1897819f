"""What was measured of bf16 in PyTorch is kept for each installation, and told among what is known of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgelfm.hardware.cgroups import Limits
from edgelfm.hardware.cpu import read_cpu
from edgelfm.hardware.machine import Machine
from edgelfm.hardware.torch_bf16 import in_words, keep_ratio, known_ratio, ratio_in


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no other test reads what is made up here."""
    monkeypatch.setenv("EDGELFM_CACHE", str(tmp_path))


def test_it_is_kept_for_this_processor() -> None:
    machine = Machine.here()
    assert known_ratio(machine, "a processor") is None
    keep_ratio(machine, "a processor", 0.625)
    assert known_ratio(machine, "a processor") == 0.625
    assert known_ratio(machine, "another processor") is None


def test_it_stands_among_what_is_known_of_the_build() -> None:
    assert ratio_in(("torch 2.13", in_words(1.5))) == 1.5
    assert ratio_in(("torch 2.13", "CUDA", "bitsandbytes")) is None


def test_an_inspection_tells_it() -> None:
    from edgelfm.hardware import inspect

    machine = Machine.here()
    keep_ratio(machine, read_cpu(machine, Limits()).model, 0.5)
    runtime = inspect(bandwidth=False).runtime("transformers")
    assert runtime is None or not runtime.installed or ratio_in(runtime.build) == 0.5
