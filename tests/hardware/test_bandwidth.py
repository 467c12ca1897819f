"""The memory probe: how much it may take, and that it measures something real."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgelfm.hardware.bandwidth import buffer_bytes, last_level_cache, measure, read_bandwidth
from edgelfm.hardware.host import Cpu, Memory, OperatingSystem
from edgelfm.hardware.live import LiveMachine
from edgelfm.hardware.machine import Machine
from edgelfm.hardware.memo import keep, recall

MIB = 1024**2
GIB = 1024**3


@pytest.mark.parametrize(
    ("available", "cache", "size"),
    [
        (16 * GIB, 32 * MIB, 128 * MIB),
        (16 * GIB, None, 64 * MIB),
        (500 * GIB, 1024 * MIB, 256 * MIB),
        (250 * MIB, None, 250 * MIB * 3 // 100),
    ],
)
def test_the_buffer_exceeds_the_cache_but_not_3_percent_of_memory(available: int, cache: int | None, size: int) -> None:
    assert buffer_bytes(available, cache) == pytest.approx(size, abs=1)


def cache_files(cpu: int, index: int, size: str, shared: str) -> dict[str, str]:
    folder = f"/sys/devices/system/cpu/cpu{cpu}/cache/index{index}"
    return {f"{folder}/level": f"{index}\n", f"{folder}/size": f"{size}\n", f"{folder}/shared_cpu_list": f"{shared}\n"}


def test_all_instances_of_the_last_cache_count(build_machine: Callable[..., Machine]) -> None:
    files = cache_files(0, 2, "512K", "0") | cache_files(0, 3, "16384K", "0-3") | cache_files(1, 3, "16384K", "0-3")
    files |= cache_files(4, 3, "16384K", "4-7")
    assert last_level_cache(build_machine(files)) == 32 * MIB
    assert last_level_cache(build_machine(files, affinity="0-1")) == 16 * MIB
    assert last_level_cache(build_machine()) is None


def test_a_measurement_is_of_the_order_of_memory() -> None:
    assert 1e8 < measure(8 * MIB, 2, seconds=0.01) < 1e13


class Loaded(LiveMachine):
    """This computer, with as much to do as is said."""

    def __init__(self, load: str) -> None:
        super().__init__()
        self.load = load

    def read(self, path: str) -> str | None:
        return f"{self.load} 0.50 0.50 2/300 12345\n" if path == "/proc/loadavg" else super().read(path)


def test_it_is_measured_once_per_boot() -> None:
    memory, cpu = Memory(total_bytes=GIB, available_bytes=GIB), Cpu(model="a CPU", logical_cores=1)
    first = read_bandwidth(Loaded("0.10"), OperatingSystem(boot_id="boot-1"), cpu, memory)
    again = read_bandwidth(Loaded("9.00"), OperatingSystem(boot_id="boot-1"), cpu, memory)
    assert first.grade == again.grade == "measured"
    assert first.bytes_per_second == again.bytes_per_second
    assert again.reason == "read by 1 threads, measured since boot"
    assert recall("bandwidth", ["boot-2", "a CPU", "1"]) is None


def test_what_is_measured_beside_other_programs_is_measured_again_and_the_best_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory, cpu = Memory(total_bytes=GIB, available_bytes=GIB), Cpu(model="a busy CPU", logical_cores=1)
    told = iter([3e9, 2e9, 7e9])
    monkeypatch.setattr("edgelfm.hardware.bandwidth.measure", lambda size, threads: next(told))
    boot, loads = OperatingSystem(boot_id="boot-1"), ("4.00", "4.00", "0.10", "4.00")
    found = [read_bandwidth(Loaded(load), boot, cpu, memory) for load in loads]
    assert [one.bytes_per_second for one in found] == [3e9, 3e9, 7e9, 7e9]
    assert ["at work" in one.reason for one in found] == [True, True, False, False]


def test_a_full_machine_is_not_measured() -> None:
    memory = Memory(total_bytes=GIB, available_bytes=10 * MIB)
    bandwidth = read_bandwidth(LiveMachine(), OperatingSystem(boot_id="full"), Cpu(model="small"), memory)
    assert (bandwidth.bytes_per_second, bandwidth.grade) == (None, "unknown")
    assert "too little memory" in bandwidth.reason


def test_a_memo_that_cannot_be_kept_says_why(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv("EDGELFM_CACHE", str(blocked))
    assert "a file" in (keep("x", ["key"], 1) or "")
    assert recall("x", ["key"]) is None
