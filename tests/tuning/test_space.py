"""What there is to try: thread counts on many machines, and layouts by memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import edgelfm
from edgelfm.errors import DoesNotFit
from edgelfm.hardware.host import Cpu, Host
from edgelfm.planning.plan import Plan
from edgelfm.tuning import space


@pytest.mark.parametrize(
    ("cpu", "bound", "counts"),
    [
        (Cpu(logical_cores=2, physical_cores=2), None, (2, 1)),
        (Cpu(logical_cores=1, physical_cores=1), None, (1,)),
        (Cpu(logical_cores=16, physical_cores=8), None, (16, 8, 4, 2, 1)),
        (Cpu(logical_cores=12, physical_cores=6), None, (12, 8, 6, 4, 2, 1)),
        (Cpu(logical_cores=8, physical_cores=8, performance_cores=6), None, (8, 6, 4, 2, 1)),
        (Cpu(logical_cores=64, physical_cores=32), 3, (3, 2, 1)),
        (Cpu(logical_cores=4), 1, (1,)),
    ],
)
def test_thread_counts(cpu: Cpu, bound: int | None, counts: tuple[int, ...]) -> None:
    assert space.thread_counts(cpu, bound) == counts


def _plan(host: Host, path: Path, **wishes: object) -> Plan:
    made = edgelfm.plan(path, host=host, **wishes)  # type: ignore[arg-type]
    assert made.chosen is not None
    return made


def test_a_profile_that_bounds_threads_bounds_what_is_tried(
    machine_host: Callable[[str], Host], starter_path: Path, machine_names: list[str]
) -> None:
    for name in machine_names:
        made = edgelfm.plan(starter_path, host=machine_host(name))
        if made.chosen is None or made.chosen.backend != "llama.cpp":
            continue
        maximum = made.match.profile.threads.maximum
        counts = space.threads_to_try(made, made.chosen, prefill=False)
        assert counts == tuple(sorted(counts, reverse=True))
        assert counts[0] <= made.host.cpu.logical_cores
        if maximum is not None:
            assert counts[0] <= maximum


def test_the_layouts_that_take_least_come_first(starter_path: Path) -> None:
    made = _plan(edgelfm.inspect(bandwidth=False), starter_path, memory="2 GiB")
    assert made.chosen is not None
    found = space.layouts(made, made.chosen)
    assert found[0].micro_batch == 64
    assert found[0].flash_attention
    assert {one.flash_attention for one in found} == {True, False}


def test_a_layout_that_would_not_fit_is_not_tried(starter_path: Path) -> None:
    made = _plan(edgelfm.inspect(bandwidth=False), starter_path, memory="2 GiB", context=2048)
    assert made.chosen is not None
    tight = replace(made, budget=replace(made.budget, usable_bytes=made.chosen.memory.total + 20 * 1024**2))
    some, every = space.layouts(tight, made.chosen), space.layouts(made, made.chosen)
    assert set(some) < set(every)
    assert (False, 512) not in {(one.flash_attention, one.micro_batch) for one in some}  # 145 MiB of scores


def test_where_there_is_no_room_for_a_rig_nothing_is_tried(starter_path: Path) -> None:
    made = _plan(edgelfm.inspect(bandwidth=False), starter_path)
    assert made.chosen is not None
    full = replace(made, budget=replace(made.budget, usable_bytes=made.chosen.memory.total + 1024))
    with pytest.raises(DoesNotFit, match="too little to measure"):
        space.layouts(full, made.chosen)


def test_values_of_eight_bits_need_flash_attention(starter_path: Path) -> None:
    made = _plan(edgelfm.inspect(bandwidth=False), starter_path, kv_type="q8_0")
    assert made.chosen is not None
    found = space.layouts(made, made.chosen)
    assert all(one.flash_attention and one.kv_type == "q8_0" for one in found)
