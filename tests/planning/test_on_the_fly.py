"""Weights of 8 and 4 bits that PyTorch makes while it loads: who can, and what they take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from edgelfm.hardware.host import Runtime
from edgelfm.models.entry import ModelEntry
from edgelfm.planning.on_the_fly import maker, makers
from edgelfm.planning.plan import Plan
from edgelfm.units import GIB, MIB

Planned = Callable[..., Plan]


@pytest.fixture
def asked(planned: Planned, make_host: Callable, model: Callable[[str], ModelEntry]) -> Planned:
    """`asked("int8", "torchao")`: LFM2.5-1.2B in transformers, where that is installed beside torch."""

    def ask(quantization: str, *installed: str) -> Plan:
        host = make_host(16 * GIB)
        runtime = Runtime("transformers", "transformers", True, "5.24", ("torch 2.13", *installed))
        host = replace(host, runtimes=(*host.runtimes, runtime))
        drivable, entry = {"llama.cpp", "transformers"}, model("lfm2.5-1.2b-instruct")
        return planned(host=host, drivable=drivable, model=entry, backend="transformers", quantization=quantization)

    return ask


@pytest.mark.parametrize(
    ("quantization", "device", "best"),
    [
        ("int8", "cuda", "bitsandbytes"),
        ("int4", "cuda:1", "bitsandbytes"),
        ("int8", "cpu", "torchao"),
        ("int4", "cpu", "bitsandbytes"),
        ("int4", "mps", None),
    ],
)
def test_who_is_taken(quantization: str, device: str, best: str | None) -> None:
    assert maker(quantization, device, ["torchao", "bitsandbytes"]) == best
    assert maker(quantization, device, []) is None
    assert bool(makers(quantization, device)) == (best is not None)


@pytest.mark.parametrize(("bits", "library", "gib"), [("int8", "torchao", 1.23), ("int4", "bitsandbytes", 0.79)])
def test_what_they_weigh(asked: Planned, bits: str, library: str, gib: float) -> None:
    """1.17 billion weights, of which 134 million of the embedding stay in 16 bits."""
    chosen = asked(bits, library).chosen
    assert chosen is not None
    assert chosen.quantization == bits
    assert chosen.memory.part("weights") == pytest.approx(gib * GIB, rel=0.01)
    assert chosen.memory.part("weight copies") == pytest.approx(2.1 * 2 * 1.17e9, rel=0.01)  # while they are made
    assert chosen.artifact.repo == "LiquidAI/LFM2.5-1.2B-Instruct"  # what is downloaded is not quantized
    assert chosen.settings.dtype is not None
    assert chosen.settings.dtype.value == "bf16"


@pytest.mark.parametrize(
    ("bits", "said", "fix"),
    [
        ("int8", "int8 is made by torchao or bitsandbytes, and neither is installed", "pip install torchao"),
        ("int4", "int4 is made by bitsandbytes, which is not installed", "pip install bitsandbytes"),
    ],
)
def test_what_is_missing_is_named(asked: Planned, bits: str, said: str, fix: str) -> None:
    made = asked(bits)
    assert made.chosen is None
    assert (made.rejected[0].reason, made.rejected[0].fix) == (said, fix)


def test_nobody_asked_for_them_nobody_gets_them(asked: Planned) -> None:
    chosen = asked("bf16", "torchao", "bitsandbytes").chosen
    assert chosen is not None
    assert chosen.memory.part("weights") > 2 * GIB - 100 * MIB
