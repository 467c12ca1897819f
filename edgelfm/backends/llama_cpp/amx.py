"""Builds of llama.cpp whose AMX code crashes: found out in another process, and run without AMX.

AMX is the matrix unit of Intel's server processors since 2023. Some versions of GCC drop most of the stores that set up
its tiles (the intrinsic says that it reads 8 of the 64 bytes), and the first product of matrices kills the process.
pip compiles llama-cpp-python for the processor it runs on, so such a build is what people get there. See
https://github.com/ggml-org/llama.cpp/issues/20824 and https://github.com/ggml-org/llama.cpp/pull/26954.

llama.cpp asks the kernel for leave to use AMX, once. Linux refuses while a thread has a stack for signals on which
the state of the tiles has no room; so one question is asked from a thread with such a stack, and llama.cpp does
without.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import json
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...atomic import write_atomically
from ...hardware.machine import Machine
from ...paths import cache_folder

_PROBE_SECONDS = 60.0  # it takes 0.1; a process that hangs is as bad as one that crashes
_NARROW = 8192  # bytes: enough for a signal with AVX-512, too few with the 8 KiB of the tiles besides
_DISABLE = 2  # SS_DISABLE
_Q4_0, _F32 = 2, 0  # of ggml_type
_WIDTH, _ROWS, _COLUMNS = 256, 64, 32


def crashes(libraries: Path) -> bool:
    """Whether the AMX code of the llama.cpp in the folder `libraries` crashes on this machine, or computes nonsense."""
    file = _file(libraries)
    return file is not None and _has_amx() and not _works(file)


def keep_off(libraries: Path) -> bool:
    """Make llama.cpp do without AMX in this process. To be called before it is used.

    False if that could not be done: where another library has got leave for AMX already, Linux does not take it back.
    """
    # In a thread of its own: this one may have a stack for signals already, which is not ours to change.
    asking = threading.Thread(target=_ask_in_vain, args=(libraries,))
    asking.start()
    asking.join()
    return _amx_buffer(_Ggml(libraries)) is None


def _has_amx() -> bool:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    return "amx_int8" in (Machine.here().read("/proc/cpuinfo") or "")


def _file(libraries: Path) -> Path | None:
    """The library with the code for the CPU. None in a build of another make, which brings one for each processor."""
    file = libraries / "libggml-cpu.so"
    return file if file.exists() else None


@functools.cache
def _works(file: Path) -> bool:
    """Multiply two matrices in another process. The verdict is kept for this very build on this machine."""
    told = file.stat()
    build = f"{file} {told.st_size} {told.st_mtime_ns} {platform.release()}"
    verdict = cache_folder() / f"amx-{hashlib.sha256(build.encode()).hexdigest()[:16]}.json"
    try:
        return bool(json.loads(verdict.read_text(encoding="utf-8"))["works"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    try:
        done = subprocess.run(
            [sys.executable, "-c", f"from {__name__} import _probe; _probe({str(file.parent)!r})"],
            capture_output=True,
            timeout=_PROBE_SECONDS,
        )
        works = done.returncode == 0
    except subprocess.TimeoutExpired:
        works = False
    except OSError:
        return True  # no process can be started here; most builds are good
    try:
        verdict.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(verdict, [json.dumps({"works": works, "build": build}).encode()])
    except OSError:
        pass  # asked again the next time
    return works


def _ask_in_vain(libraries: Path) -> None:
    """Let llama.cpp look for AMX, which it does once, while this thread's stack for signals is too narrow for it."""
    libc = ctypes.CDLL(None)
    room = ctypes.create_string_buffer(_NARROW)
    if libc.sigaltstack(ctypes.byref(_Stack(ctypes.addressof(room), 0, _NARROW)), None) != 0:
        return
    try:
        with _quiet():
            _amx_buffer(_Ggml(libraries))
    finally:
        libc.sigaltstack(ctypes.byref(_Stack(None, _DISABLE, 0)), None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing on stderr, where ggml says that there is no AMX, past every log."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class _Stack(ctypes.Structure):
    """stack_t of sigaltstack(2)."""

    _fields_ = (("base", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


class _Parameters(ctypes.Structure):
    """ggml_init_params."""

    _fields_ = (("bytes", ctypes.c_size_t), ("memory", ctypes.c_void_p), ("no_alloc", ctypes.c_bool))


class _Ggml:
    """The functions of ggml, which is below llama.cpp. All give a pointer, or nothing that matters."""

    def __init__(self, libraries: Path) -> None:
        # Not ggml's own files: a wheel holds copies of each under several names, and this one draws in the right ones.
        self._library = ctypes.CDLL(str(libraries / "libllama.so"))

    def __call__(self, name: str, *arguments: object) -> int:
        """Call a function. Whole numbers are passed as 64 bits, which is right for pointers, sizes and enums here."""
        function = self._library[name]
        function.restype = ctypes.c_void_p
        given = [ctypes.c_int64(one) if isinstance(one, int) else one for one in arguments]
        return int(function(*given) or 0)


def _amx_buffer(ggml: _Ggml) -> int | None:
    """What llama.cpp stores weights in when it uses AMX, None if it does not."""
    registry = ggml("ggml_backend_cpu_reg")
    device = ggml("ggml_backend_reg_dev_get", registry, 0)
    address = ggml("ggml_backend_reg_get_proc_address", registry, b"ggml_backend_dev_get_extra_bufts")
    if not address:
        return None
    listed = ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p)(address)(device)
    index = 0
    while listed and (kind := listed[index]):  # it ends with a null
        if ctypes.string_at(ggml("ggml_backend_buft_name", kind)) == b"AMX":
            return int(kind)
        index += 1
    return None


def _probe(libraries: str) -> None:
    """In another process: multiply weights of one with ones, as a model does. Exits with 1 if the product is wrong."""
    ggml = _Ggml(Path(libraries))
    buffer = _amx_buffer(ggml)
    if buffer is None:
        return
    weights_of, products_of = (ggml("ggml_init", _Parameters(1 << 20, None, True)) for _ in range(2))
    weights = ggml("ggml_new_tensor_2d", weights_of, _Q4_0, _WIDTH, _ROWS)
    values = ggml("ggml_new_tensor_2d", products_of, _F32, _WIDTH, _COLUMNS)
    product = ggml("ggml_mul_mat", products_of, weights, values)
    graph = ggml("ggml_new_graph", products_of)
    ggml("ggml_build_forward_expand", graph, product)
    ggml("ggml_backend_alloc_ctx_tensors_from_buft", weights_of, buffer)
    ggml("ggml_backend_alloc_ctx_tensors_from_buft", products_of, ggml("ggml_backend_cpu_buffer_type"))
    # A block of Q4_0 is a scale, here 1 as f16, and 32 values of four bits, here 9, which means 1.
    blocks = (b"\x00\x3c" + b"\x99" * 16) * (_WIDTH // 32 * _ROWS)
    ggml("ggml_backend_tensor_set", weights, blocks, 0, len(blocks))
    ones = (ctypes.c_float * (_WIDTH * _COLUMNS))(*[1.0] * (_WIDTH * _COLUMNS))
    ggml("ggml_backend_tensor_set", values, ones, 0, ctypes.sizeof(ones))
    ggml("ggml_backend_graph_compute", ggml("ggml_backend_cpu_init"), graph)
    result = (ctypes.c_float * (_ROWS * _COLUMNS))()
    ggml("ggml_backend_tensor_get", product, result, 0, ctypes.sizeof(result))
    sys.exit(any(abs(value - _WIDTH) > 0.01 * _WIDTH for value in result))
