"""This very machine: what inspection says agrees with the system, and takes little time."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from edgelfm.hardware import inspect
from edgelfm.hardware.machine import Machine, NvidiaDevice

MIB = 1024**2


def test_it_agrees_with_psutil() -> None:
    host = inspect(bandwidth=False)
    assert host.memory.total_bytes == pytest.approx(psutil.virtual_memory().total, rel=0.01)
    assert 0 < host.memory.available_bytes <= psutil.virtual_memory().available * 1.1
    assert host.cpu.logical_cores == psutil.cpu_count()
    assert host.cpu.physical_cores in (None, psutil.cpu_count(logical=False))
    assert host.os.system in ("linux", "darwin", "windows")
    assert host.disk.free_bytes


def test_it_is_quick() -> None:
    inspect()  # fills the cache of builds and of bandwidth, as the first call on a machine does
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        inspect()
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.3


def test_no_probe_fails_here() -> None:
    assert not [remark for remark in inspect(bandwidth=False).remarks if "Error: " in remark.reason]


def test_a_package_that_is_installed_is_found_and_asked() -> None:
    import importlib.metadata

    runtime = inspect(bandwidth=False).runtime("llama.cpp")
    assert runtime is not None
    if not runtime.installed:
        pytest.skip("to run: pip install llama-cpp-python")
    assert runtime.version == importlib.metadata.version("llama-cpp-python")
    assert runtime.build


@pytest.mark.parametrize("command", [("no-such-program-here",), (sys.executable, "-c", "import time; time.sleep(60)")])
def test_commands_that_give_no_answer(command: tuple[str, ...]) -> None:
    machine = Machine.here()
    assert machine.run(*command, timeout=0.2) is None
    # That a program is not there is an answer; that it hangs is a refusal, and the reason is kept.
    assert bool(machine.refusals) == (command[0] == sys.executable)


class Nvml(types.ModuleType):
    """NVIDIA's binding as it answers for a discrete card and for a GPU that shares main memory."""

    class NVMLError(Exception): ...

    nvmlInit = nvmlShutdown = staticmethod(lambda: None)
    nvmlSystemGetDriverVersion = staticmethod(lambda: b"580.82")  # bytes in old versions, text in new ones
    nvmlDeviceGetCount = staticmethod(lambda: 2)
    nvmlDeviceGetHandleByIndex = staticmethod(lambda index: index)
    nvmlDeviceGetName = staticmethod(lambda handle: ("NVIDIA GeForce RTX 4090", "NVIDIA GB10")[handle])
    nvmlDeviceGetCudaComputeCapability = staticmethod(lambda handle: ((8, 9), (12, 1))[handle])

    @classmethod
    def nvmlDeviceGetMemoryInfo(cls, handle: int) -> types.SimpleNamespace:
        if handle == 1:
            raise cls.NVMLError("Not Supported")
        return types.SimpleNamespace(total=24 * 1024 * MIB, free=23 * 1024 * MIB)


class NvmlOfMemory(Nvml):
    """The same in versions that tell about the memory interface; the GPU without one says 0 bits and no clock."""

    NVML_CLOCK_MEM = 2
    nvmlDeviceGetMemoryBusWidth = staticmethod(lambda handle: (384, 0)[handle])

    @classmethod
    def nvmlDeviceGetMaxClockInfo(cls, handle: int, kind: int) -> int:
        if handle == 1 or kind != cls.NVML_CLOCK_MEM:
            raise cls.NVMLError("Not Supported")
        return 10501


@pytest.mark.parametrize(
    ("binding", "card", "unified"), [(Nvml, (None, None), (None, None)), (NvmlOfMemory, (384, 10501), (0, None))]
)
def test_gpus_as_nvml_lists_them(
    binding: type[Nvml],
    card: tuple[int | None, int | None],
    unified: tuple[int | None, int | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", binding("pynvml"))
    machine = Machine.here()
    assert machine.nvidia_devices() == (
        NvidiaDevice("NVIDIA GeForce RTX 4090", "580.82", "8.9", 24 * 1024 * MIB, 23 * 1024 * MIB, *card),
        NvidiaDevice("NVIDIA GB10", "580.82", "12.1", None, None, *unified),
    )
    assert machine.refusals == {}


def test_importing_the_package_stays_light() -> None:
    code = "import sys, edgelfm.hardware; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "pydantic", "rich", "psutil", "llama_cpp", "subprocess"} & set(loaded)


def test_no_runtime_is_imported_to_be_asked() -> None:
    code = "import sys, edgelfm.hardware as hardware; hardware.inspect(bandwidth=False); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"llama_cpp", "onnxruntime", "torch", "transformers", "mlx"} & set(loaded)


def test_a_real_memory_cgroup_is_seen(memory_group: Callable[[int], Path]) -> None:
    group = memory_group(300 * MIB)
    code = (
        "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid()))\n"
        "from edgelfm.hardware import inspect; print(inspect(bandwidth=False).to_json())"
    )
    command = [sys.executable, "-c", code, str(group / "cgroup.procs")]
    memory = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["memory"]
    assert memory["limit_bytes"] == 300 * MIB
    assert group.name in memory["limit_source"]
    assert 0 < memory["available_bytes"] < 300 * MIB
