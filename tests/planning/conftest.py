"""What llama.cpp itself says it allocates, for networks of any size."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import llama_cpp
import pytest

from edgelfm.backends.llama_cpp.library import repacks
from edgelfm.hardware.host import Bandwidth, Cpu, Disk, Gpu, Host, Memory, OperatingSystem, Runtime
from edgelfm.hardware.profiles import Match, Profile, SpeedReference, ThreadPolicy
from edgelfm.models import catalog
from edgelfm.models.entry import ModelEntry
from edgelfm.models.tensors import active_parameters, decode_bytes
from edgelfm.planning import plan
from edgelfm.planning.plan import Plan, Request
from edgelfm.planning.records import Record, Timing, build, fingerprint, shape
from edgelfm.planning.speed import DEPTH, bytes_per_token
from edgelfm.units import GIB, MIB

#: MiB as printed, by the name of the buffer: "KV", "RS" (convolution state), "compute", "output".
Printed = dict[str, str]


@pytest.fixture
def llama_log() -> Iterator[list[str]]:
    """Lines that llama.cpp logs during the test."""
    lines: list[str] = []
    callback = llama_cpp.llama_log_callback(lambda level, text, data: lines.append(text.decode(errors="replace")))
    llama_cpp.llama_log_set(callback, ctypes.c_void_p())
    yield lines
    silent = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p())
    _kept_alive.append(silent)


@pytest.fixture
def printed(llama_log: list[str]) -> Callable[..., Printed]:
    """Open a GGUF with settings as edgelfm does and return the buffer sizes llama.cpp prints."""

    def open_and_read(path: Path, *, context: int, micro_batch: int, kv_type: str, flash_attention: bool) -> Printed:
        llama_log.clear()
        params = llama_cpp.llama_model_default_params()
        params.load_mode = llama_cpp.LLAMA_LOAD_MODE_NONE
        params.use_extra_bufts = repacks()
        model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        wanted = llama_cpp.llama_context_default_params()
        wanted.n_ctx, wanted.n_batch, wanted.n_ubatch = context, max(512, micro_batch), micro_batch
        wanted.n_outputs_max = wanted.n_seq_max = 1
        wanted.flash_attn_type = int(flash_attention)
        wanted.type_k = wanted.type_v = getattr(llama_cpp, f"GGML_TYPE_{kv_type.upper()}")
        opened = llama_cpp.llama_init_from_model(model, wanted)
        assert opened, llama_log[-3:]
        llama_cpp.llama_free(opened)
        llama_cpp.llama_model_free(model)
        return read_buffers(llama_log)

    return open_and_read


def read_buffers(lines: list[str]) -> Printed:
    """The lines `... KV buffer size =    48.00 MiB`, by buffer."""
    found = (re.search(r"(KV|RS|compute|output) buffer size = +([\d.]+) MiB", line) for line in lines)
    return {match[1]: match[2] for match in found if match}


_kept_alive: list[object] = []


@pytest.fixture(scope="session")
def entries() -> tuple[ModelEntry, ...]:
    """The whole catalogue."""
    return tuple(catalog.load())


@pytest.fixture(scope="session")
def model(entries: tuple[ModelEntry, ...]) -> Callable[[str], ModelEntry]:
    """`model("lfm2.5-350m")`: the entry with that id."""
    return lambda id: next(entry for entry in entries if entry.id == id)


def build_host(
    available: int = 8 * GIB,
    *,
    total: int | None = None,
    limit: int | None = None,
    gpus: tuple[Gpu, ...] = (),
    build: tuple[str, ...] | None = ("NEON", "DOTPROD"),
    mlx: bool = False,
    cpu: Cpu | None = None,
    disk_free: int | None = None,
    bandwidth: float | None = None,
    system: str = "linux",
) -> Host:
    """A four-core ARM board. `build` None leaves llama.cpp out; `bandwidth` is as measured here, in bytes/s."""
    llama = Runtime("llama.cpp", "llama-cpp-python", build is not None, "0.3.36", build or ())
    others = (Runtime("mlx", "mlx-lm", mlx, "0.32.2" if mlx else "", install="pip install 'edgelfm[mlx]'"),)
    return Host(
        os=OperatingSystem(system=system),  # type: ignore[arg-type]
        cpu=cpu or Cpu(architecture="arm64", logical_cores=4, physical_cores=4, features=("dotprod", "neon")),
        memory=Memory(total_bytes=total or max(available, 8 * GIB), available_bytes=available, limit_bytes=limit),
        gpus=gpus,
        runtimes=(llama, *others),
        disk=Disk("/models", free_bytes=disk_free),
        bandwidth=Bandwidth(bandwidth, "measured" if bandwidth else "unknown"),
    )


def build_match(
    *,
    reserve: int = 512 * MIB,
    backends: tuple[str, ...] = ("llama.cpp",),
    quantizations: tuple[str, ...] = ("Q4_0", "Q4_K_M", "Q8_0"),
    bandwidth: float | None = 12e9,
    threads: ThreadPolicy = ThreadPolicy(),  # noqa: B008 - frozen
    references: tuple[SpeedReference, ...] = (),
) -> Match:
    """A profile that was matched. `bandwidth` is as expected, in bytes/s."""
    profile = Profile(
        id="board",
        name="A board",
        reserve_bytes=reserve,
        backends=backends,
        quantizations=quantizations,
        threads=threads,
        bandwidth_bytes_per_second=bandwidth,
        bandwidth_source="data sheet",
        references=references,
    )
    return Match(profile, "for a test")


@pytest.fixture(scope="session")
def make_host() -> Callable[..., Host]:
    """`make_host(2 * GIB, gpus=…)`: a machine of which only what matters is said."""
    return build_host


@pytest.fixture(scope="session")
def make_match() -> Callable[..., Match]:
    """`make_match(bandwidth=4e9)`: a profile of which only what matters is said."""
    return build_match


@pytest.fixture
def planned(entries: tuple[ModelEntry, ...]) -> Callable[..., Plan]:
    """`planned(2 * GIB, bandwidth=4e9, task="reason")`: a plan for a board with that much memory available."""

    def build(
        available: int = 7 * GIB, *, host: Host | None = None, match: Match | None = None, **asked: object
    ) -> Plan:
        bandwidth = asked.pop("bandwidth", 12e9)
        drivable = asked.pop("drivable", frozenset({"llama.cpp"}))
        on_disk = asked.pop("on_disk", frozenset())
        records, cores_taken = asked.pop("records", ()), asked.pop("cores_taken", 0)
        return plan(
            host or build_host(available),
            match or build_match(bandwidth=bandwidth),
            entries,
            Request(**asked),  # type: ignore[arg-type]
            drivable=drivable,  # type: ignore[arg-type]
            on_disk=on_disk,  # type: ignore[arg-type]
            records=records,  # type: ignore[arg-type]
            cores_taken=cores_taken,  # type: ignore[arg-type]
        )

    return build


def build_record(
    *,
    host: Host | None = None,
    entry: ModelEntry | None = None,
    quantization: str = "Q4_0",
    backend: str = "llama.cpp",
    decode: float = 0.010,
    prefill: float = 0.003,
    **given: object,
) -> Record:
    """What `entry`, or some 350M, did on `host` or on a four-core board. Times are medians, in seconds per token."""
    machine = host or build_host()
    network = entry.architecture if entry is not None else None
    read = bytes_per_token(decode_bytes(network, quantization), network) if network is not None else 225_000_000
    record = Record(
        host=fingerprint(machine),
        backend=backend,
        build=build(machine, backend),
        model=shape(network) if network is not None else "lfm2-16x1024-0123456789",
        quantization=quantization,
        layers=network.layers if network is not None else 16,
        bytes_per_token=read,
        parameters=active_parameters(network) if network is not None else 354_000_000,
        threads=4,
        threads_prefill=4,
        flash_attention=True,
        micro_batch=256,
        kv_type="f16",
        decode=Timing(decode, decode * 0.98, decode * 1.02, 5),
        prefill=Timing(prefill, prefill * 0.98, prefill * 1.02, 5),
        depth=DEPTH,
        prompt=512,
        cores_taken=0,
        measured_at="2026-11-24T10:00:00+00:00",
    )
    return replace(record, **given)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def make_record() -> Callable[..., Record]:
    """`make_record(host=…, entry=…, decode=0.02, threads=2)`: a record of which only what matters is said."""
    return build_record
