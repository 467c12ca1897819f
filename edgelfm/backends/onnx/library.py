"""onnxruntime, found once, silenced, and with the providers that other packages bring.

It is published under several names (onnxruntime-gpu, onnxruntime-qnn, …), all imported as `onnxruntime`. Since 1.23 a
provider may also come in a package of its own beside it, named onnxruntime-ep-…, that has to be registered.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import pkgutil
import sys
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

from ...errors import BackendError, BackendMissing

HINT = "pip install 'edgelfm[onnx]'"
_PLUGINS = "onnxruntime_ep_"
#: The level of logging at which nothing is written. What goes wrong is raised anyway.
SILENT = 4


@dataclass(frozen=True, slots=True)
class Library:
    """The module, what it raises, and what became of the packages with providers."""

    ort: ModuleType
    errors: tuple[type[Exception], ...]  # its exceptions have no common base
    plugins: frozenset[str]  # names of providers that came in packages of their own, and have a device here
    idle: frozenset[str] = frozenset()  # of those that have none: OpenVINO's package offers Intel's devices only
    broken: tuple[tuple[str, str], ...] = ()  # such packages that could not be registered, and why


@functools.cache
def library() -> Library:
    """Raises `BackendMissing` if onnxruntime is not installed, `BackendError` if it does not load."""
    try:
        import onnxruntime as ort
        from onnxruntime.capi import onnxruntime_pybind11_state as native
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "onnxruntime":
            raise BackendMissing("onnxruntime is not installed", hint=HINT) from error
        raise BackendError(f"onnxruntime needs {error.name}, which is not installed here", hint=HINT) from error
    except (ImportError, OSError) as error:
        raise BackendError(f"onnxruntime is installed but its library does not load: {error}", hint=HINT) from error
    if not hasattr(ort, "InferenceSession"):  # two of its packages in one environment overwrite each other's files
        raise BackendError(
            "onnxruntime is installed in part only", hint=f"pip uninstall -y onnxruntime onnxruntime-gpu && {HINT}"
        )
    ort.set_default_logger_severity(SILENT)
    own: Any = vars(native).values()
    kinds = [kind for kind in own if isinstance(kind, type) and issubclass(kind, Exception)]
    errors: tuple[type[Exception], ...] = (RuntimeError, ValueError, *kinds)
    names, broken = _register(ort, errors)
    found = {device.ep_name for device in ort.get_ep_devices()} if names else set()
    return Library(ort, errors, names & found, names - found, broken)


def give_back() -> None:
    """Return to the system what was freed. glibc keeps it for this process otherwise: 300 MB of a 350M in 4 bits."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # other C libraries have no such function
            ctypes.CDLL(None).malloc_trim(0)


def _register(
    ort: ModuleType, errors: tuple[type[Exception], ...]
) -> tuple[frozenset[str], tuple[tuple[str, str], ...]]:
    """Make providers known that came in packages of their own."""
    if not hasattr(ort, "register_execution_provider_library"):
        return frozenset(), ()
    failures: tuple[type[Exception], ...] = (ImportError, AttributeError, OSError, *errors)
    names: set[str] = set()
    broken: list[tuple[str, str]] = []
    for module in pkgutil.iter_modules():
        if not module.name.startswith(_PLUGINS):
            continue
        try:
            package = import_module(module.name)
            ort.register_execution_provider_library(module.name, str(package.get_library_path()))
            names |= set(package.get_ep_names())
        except failures as error:
            broken.append((module.name, str(error)))
    return frozenset(names), tuple(broken)
