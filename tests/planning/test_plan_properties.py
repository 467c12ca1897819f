"""What holds for every plan, whatever the machine and the request."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgelfm.hardware.host import Gpu, Host
from edgelfm.hardware.profiles import Match
from edgelfm.models.entry import ModelEntry
from edgelfm.planning import plan
from edgelfm.planning.plan import Plan, Request
from edgelfm.units import GIB, MIB

QUANTIZATIONS = ("Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16")
GPUS = (
    (),
    (Gpu("nvidia", "Orin", unified=True, usable=True),),
    (Gpu("nvidia", "RTX", memory_total_bytes=6 * GIB, memory_available_bytes=4 * GIB, usable=True),),
    (Gpu("apple", "M2", unified=True, memory_total_bytes=2 * GIB, usable=True),),
)
BUILDS = (("AVX2",), ("NEON", "DOTPROD"), ("NEON",), ("CUDA", "AVX2"), ("Metal", "DOTPROD"), ("Vulkan",))

available = st.integers(0, 48 * GIB) | st.integers(0, 3 * GIB)
orders = st.permutations(QUANTIZATIONS).flatmap(lambda order: st.integers(1, 6).map(lambda n: tuple(order[:n])))
bandwidths = st.none() | st.floats(0.5e9, 400e9)
requests = st.builds(
    Request,
    task=st.sampled_from(["chat", "reason", "extract", "vision", "complete"]),
    context=st.none() | st.integers(1, 140_000),
    quantization=st.none() | st.sampled_from(QUANTIZATIONS),
    kv_type=st.none() | st.sampled_from(["f16", "q8_0", "q4_0"]),
    micro_batch=st.none() | st.integers(1, 2048),
    threads=st.none() | st.integers(1, 64),
    memory_bytes=st.none() | st.integers(0, 16 * GIB),
)

relaxed = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def planned(
    make_host: Callable[..., Host], make_match: Callable[..., Match], entries: tuple[ModelEntry, ...]
) -> Callable[..., Plan]:
    def build(memory: int, request: Request, order: tuple[str, ...], bandwidth: float | None, **host: object) -> Plan:
        match = make_match(quantizations=order, bandwidth=bandwidth, reserve=300 * MIB)
        return plan(make_host(memory, **host), match, entries, request)

    return build


@relaxed
@given(available, requests, orders, bandwidths, st.sampled_from(GPUS), st.sampled_from(BUILDS))
def test_a_plan_never_exceeds_the_budget(
    planned: Callable[..., Plan],
    memory: int,
    request: Request,
    order: tuple[str, ...],
    bandwidth: float | None,
    gpus: tuple[Gpu, ...],
    build: tuple[str, ...],
) -> None:
    made = planned(memory, request, order, bandwidth, gpus=gpus, build=build)
    assert made.budget.usable_bytes <= memory
    for one in made.candidates:
        assert one.memory.on("host") <= made.budget.usable_bytes
        assert one.memory.on("gpu") <= (made.budget.gpu_bytes or 0)
        assert one.memory.on("host") + one.memory.on("gpu") == one.memory.total
    for no in made.rejected:
        assert no.reason
        assert no.fix


@relaxed
@given(available, requests, orders, bandwidths)
def test_what_the_request_fixes_is_never_changed(
    planned: Callable[..., Plan], memory: int, request: Request, order: tuple[str, ...], bandwidth: float | None
) -> None:
    for one in planned(memory, request, order, bandwidth).candidates:
        settings = one.settings
        assert request.context in (None, settings.context.value)
        assert request.quantization in (None, one.quantization)
        assert request.kv_type in (None, settings.kv_type.value)
        assert request.micro_batch in (None, settings.micro_batch.value)
        assert request.threads in (None, settings.threads.value)
        if one.model.architecture is not None:
            assert settings.context.value <= one.model.architecture.context_supported


@relaxed
@given(available, st.integers(0, 4 * GIB), orders, bandwidths, st.sampled_from(["chat", "extract", "agent"]))
def test_more_memory_never_gives_a_less_wanted_model(
    planned: Callable[..., Plan], memory: int, more: int, order: tuple[str, ...], bandwidth: float | None, task: str
) -> None:
    request = Request(task=task)  # type: ignore[arg-type]
    less, greater = (planned(size, request, order, bandwidth).chosen for size in (memory, memory + more))
    if less is not None:
        assert greater is not None
        assert greater.model.preference >= less.model.preference


@relaxed
@given(available, bandwidths)
def test_a_named_model_is_never_exchanged(
    planned: Callable[..., Plan], model: Callable[[str], ModelEntry], memory: int, bandwidth: float | None
) -> None:
    entry = model("lfm2.5-2.6b")
    made = planned(memory, Request(model=entry), QUANTIZATIONS, bandwidth)
    assert all(one.model is entry for one in made.candidates)
    assert made.candidates or made.rejected
