"""Which other runtimes are installed, and whether they can run these weights on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import EdgelfmError
from ...hardware.cgroups import read_limits
from ...hardware.machine import Machine
from ...hardware.memory import read_memory
from ...models.entry import Role
from ...units import format_bytes
from ..child import Child
from ..limits import bytes_per_token
from ..own import sha256_of
from ..protocol import Peers, Runner
from .folders import Folders
from .peer import Task

if TYPE_CHECKING:
    from ...planning.plan import Candidate

_GGUF_ONLY = "other runtimes are measured on the weights of a GGUF file, and this is a folder"
_INSTALL = "pip install 'edgelfm[peers]'"


@dataclass(frozen=True, slots=True)
class _Kind:
    """A runtime that could be measured."""

    name: str
    module: str  # of this package, serves the runner
    packages: tuple[str, ...]  # that must be importable
    folder: str = ""  # what is made of the weights for it, empty if it reads GGUF itself
    bytes_per_weight: float = 0.0  # in memory, while it loads; 0 for as much as the file


_KINDS = (
    _Kind("llama.cpp bare loop", "bare_loop", ("llama_cpp",)),
    _Kind("llama-cpp-python", "llama_cpp_python", ("llama_cpp",)),
    _Kind("llama-cpp-python, tuned", "llama_cpp_python_tuned", ("llama_cpp",)),
    _Kind("transformers", "hugging_face", ("torch", "transformers", "gguf"), "hf", 2.2),
    _Kind(
        "onnxruntime-genai",
        "onnx_genai",
        ("onnxruntime_genai", "onnx_ir", "torch", "transformers", "gguf"),
        "genai",
        7.0,  # its builder holds the model in f32
    ),
    _Kind("mlx", "mlx_stream", ("mlx_lm", "transformers", "gguf"), "hf", 4.4),
)


def find(
    candidate: Candidate, files: Mapping[Role, Path], context: int, told: Callable[[str], None] = lambda _: None
) -> Peers:
    """Every other runtime that is installed and can run the weights in `files`, made ready; and why the rest cannot.

    Some need the weights in a format of their own. That is made once and kept in edgelfm's cache; `told` hears what is
    being made. Raises nothing for a runtime that cannot be made ready: its reason is among the notes.
    """
    weights = files.get("weights")
    if candidate.backend != "llama.cpp" or weights is None or weights.suffix != ".gguf":
        return Peers((), (_GGUF_ONLY,))
    task = Task(
        weights=str(weights),
        context=context,
        model=candidate.model.name,
        quantization=candidate.quantization,
        license=", ".join(filter(None, (candidate.model.license.name, candidate.model.license.url))),
        sha256=sha256_of(weights),
        settings=_values(candidate.settings),
    )
    folders = Folders(weights, task.sha256, told)
    runners: list[Runner] = []
    notes: list[str] = []
    for kind in _KINDS:
        try:
            reason = _missing(kind) or _too_large(kind, candidate)
            path = "" if reason or not kind.folder else str(folders.get(kind.folder))
        except EdgelfmError as error:
            reason = str(error)
        if reason:
            notes.append(f"{kind.name} is left out: {reason}")
            continue
        runners.append(_child(kind, Task(**{**asdict(task), "weights": path or task.weights}), candidate))
    return Peers(tuple(runners), tuple(notes))


def _child(kind: _Kind, task: Task, candidate: Candidate) -> Child:
    return Child(
        kind.name,
        f"{__package__}.{kind.module}",
        asdict(task),
        bytes_per_token=None if kind.folder else bytes_per_token(candidate),
        environment=_environment(),
    )


def _environment() -> Mapping[str, str | None]:
    """That of people who run these runtimes without us: our own choice of OpenMP's patience is taken back."""
    from ...backends.llama_cpp import library

    ours = os.environ.get("GOMP_SPINCOUNT") == library.SPIN_COUNT and "OMP_WAIT_POLICY" not in os.environ
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    return {**quiet, "GOMP_SPINCOUNT": None} if ours else quiet


def _missing(kind: _Kind) -> str:
    absent = [package for package in kind.packages if find_spec(package) is None]
    return f"{', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed: {_INSTALL}" if absent else ""


def _too_large(kind: _Kind, candidate: Candidate) -> str:
    """Why it would not fit into memory. Nothing is guessed about a model whose number of weights is not known."""
    weights = candidate.model.parameters
    if not kind.bytes_per_weight or weights is None:
        return ""
    machine = Machine.here()
    free = read_memory(machine, read_limits(machine)).available_bytes
    needed = round(kind.bytes_per_weight * weights)
    return f"it needs about {format_bytes(needed)}, {format_bytes(free)} are free" if needed > free else ""


def _values(settings: Any) -> dict[str, Any]:
    return {name: decision.value for name, decision in settings.decisions().items()}
