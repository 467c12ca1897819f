"""A LoRA beside a model, in a plan: what it weighs, and which runtimes are left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgelfm.hardware.host import Runtime
from edgelfm.models.entry import ModelEntry
from edgelfm.models.lora import Form, Lora
from edgelfm.planning.adapting import adapted
from edgelfm.planning.plan import Plan
from edgelfm.planning.records import Record, Timing, network
from edgelfm.units import GIB, MIB

PARAMETERS = 11_000_000  # of rank 16 beside every matrix of a 1.2B


def lora(form: Form = "peft") -> Lora:
    """One in 32 bits, as PEFT saves them."""
    return Lora(Path("/loras/gardener.gguf" if form == "gguf" else "/loras/gardener"), form, PARAMETERS, 4 * PARAMETERS)


@pytest.fixture
def asked(planned: Callable[..., Plan], make_host: Callable, make_match: Callable) -> Callable[..., Plan]:
    """`asked(entry, adapter=…)`: a plan where four runtimes are installed."""

    def ask(entry: ModelEntry, **given: object) -> Plan:
        host, names = make_host(16 * GIB), ("onnx", "transformers", "mlx")
        others = tuple(Runtime(name, name, True, "1", ("torch 2.13",)) for name in names)
        host = replace(host, runtimes=(host.runtimes[0], *others))
        match = make_match(backends=("llama.cpp", *names))
        return planned(host=host, match=match, drivable={"llama.cpp", *names}, model=entry, **given)

    return ask


@pytest.mark.parametrize(
    ("backend", "bytes_each"), [("llama.cpp", 4), ("transformers", 4), ("mlx", 2)], ids=lambda one: str(one)
)
def test_it_is_part_of_the_bill(
    asked: Callable[..., Plan], model: Callable[[str], ModelEntry], backend: str, bytes_each: int
) -> None:
    """In llama.cpp as it is stored, elsewhere in the numbers that the model computes in: here, f32 in transformers."""
    entry = model("lfm2.5-1.2b-instruct")
    with_it = asked(entry, backend=backend, adapter=lora(), context=4096).chosen
    without = asked(entry, backend=backend, context=4096).chosen
    assert with_it is not None
    assert without is not None
    assert with_it.memory.part("adapter") == bytes_each * PARAMETERS
    assert with_it.memory.total - without.memory.total == bytes_each * PARAMETERS
    assert with_it.load_command.endswith(', adapter="/loras/gardener")')
    assert "adapter" not in without.load_command


def test_a_board_that_is_just_large_enough_without_it(
    planned: Callable[..., Plan], model: Callable[[str], ModelEntry]
) -> None:
    entry = model("lfm2.5-350m")
    least = planned(model=entry, context=512, memory_bytes=400 * MIB).chosen
    assert least is not None
    big = replace(lora(), bytes=300 * MIB)
    refused = planned(model=entry, context=512, memory_bytes=400 * MIB, adapter=big)
    assert refused.chosen is None
    assert refused.rejected[0].cause == "memory"


def test_another_adapter_changes_bills_and_commands_and_nothing_else(
    asked: Callable[..., Plan], model: Callable[[str], ModelEntry]
) -> None:
    """Of a model that runs: as it was planned with the new one, except that what cannot have it is gone."""
    entry = model("lfm2.5-1.2b-instruct")
    plain = asked(entry, context=4096)
    running = plain.candidates[0]
    assert adapted(plain, running, None) == plain
    made = adapted(plain, running, lora())
    planned = {one.artifact: one for one in asked(entry, context=4096, adapter=lora()).candidates}
    assert made.request.adapter == lora()
    assert made.candidates[0].artifact == running.artifact
    assert {one.backend for one in made.candidates} == {"llama.cpp", "transformers", "mlx"}
    for one in made.candidates:
        assert (one.memory, one.load_command) == (planned[one.artifact].memory, planned[one.artifact].load_command)


def test_what_was_measured_without_it_is_no_measurement_with_it(
    planned: Callable[..., Plan], model: Callable[[str], ModelEntry], make_record: Callable[..., Record]
) -> None:
    entry = model("lfm2.5-350m")
    assert entry.architecture is not None
    plain = make_record(entry=entry)
    beside = replace(plain, model=network(entry.architecture, lora()), decode=Timing(0.02, 0.019, 0.021, 5))
    for adapter, records, grade in (
        (None, [plain], "measured"), (lora(), [plain], "calibrated"),
        (None, [beside], "calibrated"), (lora(), [plain, beside], "measured"),
    ):  # fmt: skip
        chosen = planned(model=entry, quantization="Q4_0", adapter=adapter, records=records).chosen
        assert chosen is not None
        assert chosen.decode.grade == grade
    assert "50.0 tokens/s" in chosen.decode.reason, "its own run, not the faster one"


@pytest.mark.parametrize(("form", "able"), [("peft", {"llama.cpp", "transformers", "mlx"}), ("gguf", {"llama.cpp"})])
def test_runtimes_that_cannot_have_it_are_turned_down(
    asked: Callable[..., Plan], model: Callable[[str], ModelEntry], form: Form, able: set[str]
) -> None:
    made = asked(model("lfm2.5-1.2b-instruct"), adapter=lora(form))
    assert {one.backend for one in made.candidates} == able
    refused = {one.backend: one for one in made.rejected if "adapter" in one.reason}
    assert set(refused) == {"llama.cpp", "onnx", "transformers", "mlx"} - able
    assert all(one.fix.startswith("use backend llama.cpp") for one in refused.values())
