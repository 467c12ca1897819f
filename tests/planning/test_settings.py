"""The ladder of settings gives way in one order, and never where somebody fixed a value."""

from __future__ import annotations

import pytest

from edgelfm.hardware.host import Cpu
from edgelfm.hardware.profiles import ThreadPolicy
from edgelfm.planning.acceleration import Acceleration
from edgelfm.planning.plan import Budget, Request
from edgelfm.planning.settings import Rung, context_decision, default_context, ladder, mmap_decision, threads
from edgelfm.units import GIB, MIB


def budget(usable: int, gpu: int | None = None) -> Budget:
    return Budget(usable, 0, usable, "", gpu)


def test_context_gives_way_first_then_the_micro_batch_then_the_kv_type() -> None:
    assert ladder(Request(), budget(5 * GIB), 32768) == (
        Rung(8192, 256, "f16"),
        Rung(4096, 256, "f16"),
        Rung(2048, 256, "f16"),
        Rung(1024, 256, "f16"),
        Rung(1024, 128, "f16"),
        Rung(1024, 64, "f16"),
        Rung(1024, 64, "q8_0"),
    )


def test_small_keys_are_no_step_where_they_save_nothing() -> None:
    with_, without = (ladder(Request(), budget(5 * GIB), 32768, small_kv=small) for small in (True, False))
    assert without == with_[:-1]


@pytest.mark.parametrize(
    ("request_", "kept"),
    [
        (Request(context=3000), {"context": 3000}),
        (Request(context=200_000), {"context": 200_000}),
        (Request(micro_batch=48), {"micro_batch": 48}),
        (Request(kv_type="f16"), {"kv_type": "f16"}),
        (Request(kv_type="q4_0", context=512), {"kv_type": "q4_0", "context": 512}),
        (
            Request(context=4096, micro_batch=512, kv_type="f16"),
            {"context": 4096, "micro_batch": 512, "kv_type": "f16"},
        ),
    ],
)
def test_fixed_values_are_the_same_on_every_rung(request_: Request, kept: dict[str, object]) -> None:
    for rung in ladder(request_, budget(5 * GIB), 32768):
        assert {name: getattr(rung, name) for name in kept} == kept


def test_every_rung_differs_from_the_one_before() -> None:
    rungs = ladder(Request(), budget(64 * GIB), 32768)
    assert len(set(rungs)) == len(rungs)


@pytest.mark.parametrize(
    ("usable", "context"),
    [(256 * MIB, 2048), (GIB, 2048), (2 * GIB, 4096), (4 * GIB, 8192), (15 * GIB, 8192), (16 * GIB, 16384)],
)
def test_default_context_grows_with_memory(usable: int, context: int) -> None:
    assert default_context(budget(usable), 32768) == context


def test_default_context_stays_within_what_the_model_supports() -> None:
    assert default_context(budget(64 * GIB), 512) == 512
    assert default_context(budget(64 * GIB), 0) == 16384, "0 is unknown, not none"


def test_memory_of_a_gpu_counts_for_the_default_context() -> None:
    assert default_context(budget(2 * GIB, gpu=20 * GIB), 32768) == 16384


def test_the_reason_for_a_context_names_the_trap() -> None:
    reason = context_decision(Request(), budget(5 * GIB), 32768, 128000, 8192).reason
    assert "supports 32768" in reason
    assert "not the 128000 in its files" in reason


def test_the_reason_for_a_context_that_gave_way_names_what_was_wanted() -> None:
    assert "8192 would not fit" in context_decision(Request(), budget(5 * GIB), 32768, 128000, 2048).reason


def test_a_context_asked_for_says_so() -> None:
    assert context_decision(Request(context=700), budget(5 * GIB), 32768, 128000, 700).reason == "asked for"


BIG_LITTLE = Cpu(logical_cores=8, physical_cores=8, performance_cores=4)
HYPERTHREADED = Cpu(logical_cores=16, physical_cores=8)


@pytest.mark.parametrize(
    ("cpu", "policy", "count", "reason"),
    [
        (BIG_LITTLE, ThreadPolicy("performance"), 4, "4 fast cores"),
        (BIG_LITTLE, ThreadPolicy("physical"), 8, "8 physical cores"),
        (HYPERTHREADED, ThreadPolicy("performance"), 8, "8 physical cores"),
        (HYPERTHREADED, ThreadPolicy("all"), 16, "16 hardware threads"),
        (HYPERTHREADED, ThreadPolicy("physical", maximum=3, reason="heat"), 3, "the profile allows 3: heat"),
        (Cpu(logical_cores=64, physical_cores=32, affinity=6), ThreadPolicy("physical"), 6, "may run on 6"),
        (Cpu(logical_cores=64, physical_cores=32, quota=1.5), ThreadPolicy("physical"), 1, "grants 1 cores"),
        (Cpu(logical_cores=64, physical_cores=32, quota=0.5), ThreadPolicy("all"), 1, "container"),
        (Cpu(logical_cores=2), ThreadPolicy("performance"), 2, "2 physical cores"),
    ],
)
def test_threads_follow_the_policy_within_every_bound(cpu: Cpu, policy: ThreadPolicy, count: int, reason: str) -> None:
    decision = threads(cpu, policy, Request(), prefill=False)
    assert decision.value == count
    assert reason in decision.reason


def test_prefill_may_use_more_threads_than_decode() -> None:
    policy = ThreadPolicy("physical", maximum=4, prefill_maximum=8)
    assert threads(HYPERTHREADED, policy, Request(), prefill=False).value == 4
    assert threads(HYPERTHREADED, policy, Request(), prefill=True).value == 8


def test_threads_asked_for_are_taken_as_they_are() -> None:
    for prefill in (False, True):
        assert threads(BIG_LITTLE, ThreadPolicy(maximum=2), Request(threads=7), prefill=prefill).value == 7


@pytest.mark.parametrize(
    ("repacked", "interface", "mapped"),
    [(500 * MIB, "", False), (0, "", True), (0, "CUDA", False), (0, "METAL", True)],
)
def test_weights_are_mapped_only_where_that_keeps_no_second_copy(repacked: int, interface: str, mapped: bool) -> None:
    decision = mmap_decision(repacked, Acceleration(None, interface), bool(interface), "500 MiB")
    assert decision.value is mapped
    assert decision.reason
