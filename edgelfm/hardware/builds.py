"""How an installed runtime was compiled. Asked of the library itself in a child process, once for each installation.

In a child, because a wheel built for another processor dies with an illegal instruction as soon as it is loaded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .machine import Machine, Output
from .memo import keep, recall

# Loads the shared library alone: importing llama_cpp would take ten times as long.
_ASK_LLAMA = """
import ctypes, glob, importlib.util, os
folder = importlib.util.find_spec("llama_cpp").submodule_search_locations[0]
found = sorted(glob.glob(os.path.join(folder, "lib", "*llama.*")))
if found and os.name != "nt":
    library = ctypes.CDLL(found[0])
    library.llama_print_system_info.restype = ctypes.c_char_p
    text = library.llama_print_system_info()
else:
    import llama_cpp
    text = llama_cpp.llama_print_system_info()
if b"AMX_INT8 = 1" in text:  # found to crash, it is not used
    from pathlib import Path
    from edgelfm.backends.llama_cpp.amx import crashes
    if crashes(Path(folder, "lib")):
        text = text.replace(b"AMX_INT8 = 1", b"AMX_CRASHES = 1")
print(text.decode())
"""
_ASK_ONNX = """
import onnxruntime
print("\\n".join(onnxruntime.get_available_providers()))
"""
# Which GPUs it was compiled for stands in a small module of its own; importing torch would take seconds.
_ASK_TORCH = """
import importlib.util, os, runpy, sys
folder = importlib.util.find_spec("torch").submodule_search_locations[0]
told = runpy.run_path(os.path.join(folder, "version.py"))
print("\\n".join(name.upper() for name in ("cuda", "hip", "xpu") if told.get(name)))
if sys.platform == "darwin":
    print("MPS")
"""
_ILLEGAL = (-4, 132, 3221225501)  # SIGILL as subprocess and as shells report it; STATUS_ILLEGAL_INSTRUCTION


@dataclass(frozen=True, slots=True)
class Build:
    """What a runtime answers about itself, or why it gave no answer."""

    flags: tuple[str, ...] = ()
    problem: str = ""


def llama_build(machine: Machine, cpu: str) -> Build:
    """What llama-cpp-python was built with: `AVX2`, `CUDA`, `REPACK`. `cpu` is the processor's model."""
    return _ask(machine, "llama-cpp-python", _ASK_LLAMA, cpu)


def onnx_build(machine: Machine, package: str, cpu: str) -> Build:
    """The execution providers of an ONNX Runtime: `CPUExecutionProvider`."""
    return _ask(machine, package, _ASK_ONNX, cpu)


def torch_build(machine: Machine, cpu: str) -> Build:
    """What PyTorch computes on besides CPUs: `CUDA`, `HIP`, `XPU`, `MPS`."""
    return _ask(machine, "torch", _ASK_TORCH, cpu)


def parse_system_info(text: str) -> tuple[str, ...]:
    """`CPU : AVX2 = 1 | FMA = 1 | CUDA : ARCHS = 870 |` as backends other than the CPU, then flags that are on."""
    flags: list[str] = []
    for part in text.strip().split("|"):
        backend, colon, rest = part.rpartition(" : ")
        if colon and backend.strip() != "CPU":
            flags.append(backend.strip())
        match = re.fullmatch(r"\s*(\w+) = 1\s*", rest, re.ASCII)
        if match and match[1] not in flags:
            flags.append(match[1])
    return tuple(flags)


def _ask(machine: Machine, package: str, code: str, cpu: str) -> Build:
    # A processor that changed under an unchanged installation (a disk moved, a home on NFS) must be asked again.
    key = [machine.package_stamp(package), cpu, code]
    if machine.live and (known := recall(package, key)) is not None:
        return Build(tuple(known))
    output = machine.ask_python(package, code)
    if output is None:
        return Build()  # the machine has kept why; silence does not prove that it cannot run
    if output.status != 0:
        return Build(problem=_problem(output))
    lines = output.text.strip()
    flags = parse_system_info(lines) if code is _ASK_LLAMA else tuple(lines.split())
    if machine.live and (refusal := keep(package, key, flags)):
        machine.refusals[f"cache of {package}"] = refusal
    return Build(flags)


def _problem(output: Output) -> str:
    if output.status in _ILLEGAL:
        return "it was compiled for another processor and dies with an illegal instruction"
    return f"it cannot be loaded: {output.error or f'exit status {output.status}'}"
