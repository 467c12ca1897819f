"""The llama.cpp library inside llama-cpp-python: found, initialised once, and its log kept instead of printed."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import re
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from ...errors import BackendError, BackendMissing

#: Turns of the waiting loop before a thread of GNU OpenMP gives its core back. Its own default is 300,000, some
#: milliseconds to tens of them: beside another program that computes, the threads of llama.cpp can burn the very core
#: that the last of them waits for. How long a turn is depends on the processor, 20 to 70 ns. Decode of the starter on
#: two cores of a Xeon, tokens per second, alone (medians of six) and beside a busy loop, where `pace` lowers threads:
#:     1,000: 72.7, 44    3,000: 74.1, 44    10,000: 74.9, 45    30,000: 75.4, 45    300,000: 74.2, 44
#: With fewer turns the second thread sleeps while a token is drawn, and to wake it takes longer than that. An EPYC
#: alone, in one noisy run: 1,000: 121, 10,000: 114, 100,000: 121. `bench_contention.py` measures them.
SPIN_COUNT = "10000"
ERROR_LEVEL = 4  # GGML_LOG_LEVEL_ERROR of ggml.h; what llama-cpp-python says of it is of long ago
_CONTINUE_LEVEL = 5  # GGML_LOG_LEVEL_CONT: this text goes on where the last line stopped

#: The log of llama.cpp belongs to the process, so two loads at once would mix theirs.
_capturing = threading.Lock()


@functools.cache
def library() -> ModuleType:
    """The low-level module `llama_cpp`.

    Raises `BackendMissing` if it is not installed, `BackendError` if it is broken.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
        os.environ["GOMP_SPINCOUNT"] = SPIN_COUNT  # read once, when the library is loaded; people's own choice stands
    try:
        import llama_cpp
    except ModuleNotFoundError as error:
        if error.name != "llama_cpp":
            raise
        raise BackendMissing("llama-cpp-python is not installed", hint="pip install 'edgelfm[llama]'") from error
    except (ImportError, OSError, RuntimeError) as error:
        # The wheel is there, its shared library does not load: another libc, a missing libgomp, a wrong processor.
        raise BackendError(
            f"llama-cpp-python is installed but its library does not load: {error}",
            hint="pip install --force-reinstall --no-binary llama-cpp-python 'edgelfm[llama]'",
        ) from error
    _listen(llama_cpp)
    repacks()
    llama_cpp.llama_backend_init()
    module: ModuleType = llama_cpp
    return module


@functools.cache
def repacks() -> bool:
    """Whether llama.cpp may store weights in the layouts that its fastest code for the CPU reads.

    Not where one of them is that of AMX code that crashes, and could not be kept off.
    """
    from . import amx

    libraries = library_folder()
    return not amx.crashes(libraries) or amx.keep_off(libraries)


def library_folder() -> Path:
    """Where the shared libraries of llama-cpp-python are."""
    found = importlib.util.find_spec("llama_cpp")
    if found is None or found.origin is None:
        raise BackendMissing("llama-cpp-python is not installed", hint="pip install 'edgelfm[llama]'")
    return Path(found.origin).parent / "lib"


class Log:
    """The latest lines llama.cpp wrote. Bounded, so a chatty build cannot grow it."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=4000)
        self.errors: deque[str] = deque(maxlen=20)
        self._level = 0

    def write(self, level: int, text: str) -> None:
        """Take one piece of log text, which may continue the last line."""
        if level == _CONTINUE_LEVEL and self.lines:
            self.lines[-1] += text.rstrip("\n")
            return
        line = text.rstrip("\n")
        if not line:
            return
        self.lines.append(line)
        if level == ERROR_LEVEL:
            self.errors.append(line)

    def last_error(self) -> str:
        """The most telling error: the first of the latest run of errors, without the function name before it."""
        return re.sub(r"^\w+: ", "", self.errors[0]) if self.errors else "llama.cpp gave no reason"


_log = Log()


@contextmanager
def captured() -> Iterator[Log]:
    """Collect what llama.cpp logs inside the block. One block at a time in the process."""
    global _log
    with _capturing:
        _log = Log()
        _listen(library())  # again, for other code in this process may have taken the log for itself
        yield _log


def _listen(llama_cpp: ModuleType) -> None:
    llama_cpp.llama_log_set(_callback(llama_cpp), ctypes.c_void_p(0))


@functools.cache
def _callback(llama_cpp: ModuleType) -> object:
    @llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
    def receive(level: int, text: bytes | None, _user_data: object) -> None:
        _log.write(level, (text or b"").decode("utf-8", "replace"))

    kept: object = receive  # the cache keeps it alive; llama.cpp holds only its address
    return kept
