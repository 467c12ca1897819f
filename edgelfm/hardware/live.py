# ruff: noqa: D102 - the methods are described in `Machine`
"""The computer we run on, as a `Machine`. The only module of this room that touches the system."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .machine import Access, Counters, Facts, Machine, NvidiaDevice, Output


class LiveMachine(Machine):
    """This computer."""

    live = True

    def __init__(self, root: Path = Path("/")) -> None:
        super().__init__(root, _facts())

    def access(self, path: str) -> Access:
        located = self._locate(path)
        if os.access(located, os.R_OK | os.W_OK):
            return "granted"
        return "denied" if os.path.lexists(located) else "absent"

    def _run(self, command: Sequence[str], timeout: float) -> Output | None:
        import subprocess

        name = " ".join(command)
        environment = {**os.environ, "LC_ALL": "C"}
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=timeout, env=environment, stdin=subprocess.DEVNULL, check=False
            )
        except FileNotFoundError:
            return None
        except subprocess.TimeoutExpired:
            self.refusals[name] = f"no answer within {timeout:g} s"
            return None
        except OSError as error:
            self.refusals[name] = error.strerror or str(error)
            return None
        error_lines = done.stderr.decode("utf-8", errors="replace").strip().splitlines()
        text = done.stdout.decode("utf-8", errors="replace")
        return Output(text, done.returncode, error_lines[-1] if error_lines else "")

    def ask_python(self, name: str, code: str, timeout: float = 10.0) -> Output | None:
        return self.run(sys.executable, "-c", code, timeout=timeout) if sys.executable else None

    def package(self, name: str) -> str | None:
        import importlib.metadata

        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    def package_stamp(self, name: str) -> str:
        import importlib.metadata

        try:
            distribution = importlib.metadata.distribution(name)
            folder = Path(str(distribution.locate_file("")))
            written = max(path.stat().st_mtime_ns for path in folder.glob(f"{name.replace('-', '_')}-*.dist-info"))
        except (importlib.metadata.PackageNotFoundError, OSError, ValueError):
            return ""
        return f"{distribution.version} {folder} {written}"

    def program(self, name: str) -> str | None:
        return shutil.which(name)

    def disk_room(self, path: str) -> tuple[int, int] | None:
        folder = Path(path)
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        try:
            usage = shutil.disk_usage(folder)
        except OSError as error:
            self.refusals[str(folder)] = error.strerror or str(error)
            return None
        return usage.total, usage.free

    def counters(self) -> Counters | None:
        import psutil

        memory = psutil.virtual_memory()
        return Counters(memory.total, memory.available, psutil.swap_memory().total, psutil.cpu_count(logical=False))

    def processor_features(self, numbers: Sequence[int]) -> frozenset[int]:
        if sys.platform != "win32":
            return frozenset()
        import ctypes

        present = ctypes.windll.kernel32.IsProcessorFeaturePresent
        return frozenset(number for number in numbers if present(number))

    def nvidia_devices(self) -> tuple[NvidiaDevice, ...] | None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an old package of the same name warns that it is old
                import pynvml
        except ImportError:
            return None
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            if self.exists("/dev/nvidiactl"):
                self.refusals["NVML"] = str(error)
            return None
        try:
            driver = _text(pynvml.nvmlSystemGetDriverVersion())
            return tuple(_nvml_device(pynvml, index, driver) for index in range(pynvml.nvmlDeviceGetCount()))
        except pynvml.NVMLError as error:
            self.refusals["NVML"] = str(error)
            return None
        finally:
            pynvml.nvmlShutdown()


def _nvml_device(nvml: Any, index: int, driver: str) -> NvidiaDevice:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    try:
        major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
        capability = f"{major}.{minor}"
    except nvml.NVMLError:
        capability = ""
    total: int | None = None
    free: int | None = None
    # NOT_SUPPORTED is how the driver says that this GPU has no memory of its own.
    with contextlib.suppress(nvml.NVMLError):
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        total, free = int(memory.total), int(memory.free)
    bits: int | None = None
    clock: int | None = None
    # Old bindings lack the first function (AttributeError), old drivers and GPUs that share main memory the answer.
    with contextlib.suppress(nvml.NVMLError, AttributeError):
        bits = int(nvml.nvmlDeviceGetMemoryBusWidth(handle))
        clock = int(nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_MEM))
    return NvidiaDevice(_text(nvml.nvmlDeviceGetName(handle)), driver, capability, total, free, bits, clock)


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value


def _facts() -> Facts:
    system = platform.system()
    version = platform.mac_ver()[0] if system == "Darwin" else platform.version()
    return Facts(
        system=system,
        machine=platform.machine(),
        release=platform.release(),
        version=version,
        python=platform.python_version(),
        bits=64 if sys.maxsize > 2**32 else 32,
        logical_cores=os.cpu_count(),
        affinity=_affinity(),
        page_size=_page_size(),
        environment=dict(os.environ),
    )


def _affinity() -> tuple[int, ...] | None:
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    if sys.platform == "win32":
        import psutil

        return tuple(psutil.Process().cpu_affinity())
    return None


def _page_size() -> int:
    import mmap

    return mmap.PAGESIZE
