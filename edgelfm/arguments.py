"""What people type into `plan()` and `load()`, checked and made into the words of the planner."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from .errors import HostFileError, RequestError
from .hardware.host import Host

if TYPE_CHECKING:
    from .models.entry import Artifact, ModelEntry, Task
    from .models.lora import Lora
    from .planning.plan import KvType, Request

#: More threads than llama.cpp takes (GGML_MAX_N_THREADS) and a micro-batch beyond any prompt are slips of the keyboard.
MOST = {"threads": 512, "micro_batch": 2**16}
#: What people call a runtime by, where the name is not near the one that it has here.
CALLED = {
    "gguf": "llama.cpp", "ggml": "llama.cpp", "torch": "transformers", "pytorch": "transformers", "hf": "transformers",
    "onnxruntime": "onnx", "onnxruntime-genai": "onnx", "mlx-lm": "mlx",
    "ollama": "remote", "vllm": "remote", "llama-server": "remote", "openai": "remote",
}  # fmt: skip
#: What a model of the catalogue must take in for a task; any other task can be asked of any model.
NEEDS = {"vision": "image", "audio": "audio"}


def on_disk(entries: Iterable[ModelEntry]) -> frozenset[Artifact]:
    """Artifacts that need no download, so that a full disk is no reason to turn them down."""
    from .models import store

    return frozenset(artifact for entry in entries for artifact in entry.artifacts if store.find(artifact))


def read_host(host: Host | str | Path) -> Host:
    """The host itself, or the one described in a file. Raises `HostFileError` naming the file."""
    if isinstance(host, Host):
        return host
    if not isinstance(host, (str, Path)):
        raise HostFileError(
            f"host is {host!r}", hint="give a Host or the file that edgelfm doctor --save host.json wrote there"
        )
    path = Path(host)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HostFileError(
            f"cannot read the host description {path}: {error}",
            hint="write one on that machine with: edgelfm doctor --save host.json",
        ) from error
    return Host.from_json(text, source=str(path))


def read_request(
    name: str | Path | None,
    task: Task,
    context: int | None,
    quantization: str | None,
    backend: str | None,
    memory: str | int | None,
    kv_type: KvType | None,
    threads: int | None,
    micro_batch: int | None,
    adapter: str | Path | None,
    offline: bool | None,
) -> Request:
    """The request in the planner's words. An adapter without a model's name asks for the one it was trained on.

    Raises `RequestError` naming the argument, `UnknownModel` for the name, `ModelFileError` for the adapter.
    """
    from .models import catalog, names
    from .models.adapters import find_adapter
    from .models.entry import Task as Tasks
    from .planning.plan import KvType as KvTypes
    from .planning.plan import Request
    from .units import parse_bytes

    _check_choice("task", task, get_args(Tasks))
    if kv_type is not None:
        _check_choice("kv_type", kv_type, get_args(KvTypes))
    for label, value in (("context", context), ("threads", threads), ("micro_batch", micro_batch)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise RequestError(f"{label} is {value!r}", hint="give a whole number of at least 1, or leave it out")
        if value is not None and value > MOST.get(label, value):
            raise RequestError(f"{label} is {value}", hint=f"give at most {MOST[label]}, or leave it out")
    _check_quantization(quantization)
    _check_backend(backend, offline)
    if adapter == "":
        raise RequestError("the name of the adapter is empty", hint="give a folder or a .gguf file, or leave it out")
    lora = find_adapter(adapter, offline=offline) if adapter is not None else None
    if name is not None or lora is None:
        model = names.resolve(name, offline=offline) if name is not None else None
    else:
        model = _base(lora, offline)
    if model is not None and task in NEEDS and NEEDS[task] not in model.modalities and model in catalog.load():
        raise RequestError(f"{model.name} takes no {NEEDS[task]}", hint=f"edgelfm models --task {task}")
    return Request(
        model=model,
        task=task,
        context=context,
        quantization=quantization,
        backend=backend,
        memory_bytes=parse_bytes(memory) if memory is not None else None,
        kv_type=kv_type,
        threads=threads,
        micro_batch=micro_batch,
        adapter=lora,
    )


def _base(lora: Lora, offline: bool | None) -> ModelEntry:
    """The model that an adapter says it was trained on. Raises `RequestError` if that leads nowhere."""
    from .errors import EdgelfmError
    from .models import names

    hint = f'name it: edgelfm.load("lfm2.5-1.2b-instruct", adapter="{lora.where}")'
    if not lora.base:
        raise RequestError(f"the adapter {lora.where} does not say which model it is for", hint=hint)
    try:
        return names.resolve(lora.base, offline=offline)
    except EdgelfmError as error:
        raise RequestError(
            f"the adapter {lora.where} is for {lora.base}, which cannot be had: {error.message}", hint=hint
        ) from error


def _check_quantization(name: str | None) -> None:
    if name is not None and (not isinstance(name, str) or not name.strip()):
        raise RequestError(f"quantization is {name!r}", hint="give a name such as 'Q4_0' or '8bit', or leave it out")


def _check_backend(name: str | None, offline: bool | None) -> None:
    """Raises `RequestError` with the nearest name, and for servers where the network must not be touched."""
    import difflib

    from .backends import registry
    from .served import REMOTE

    if name is None:
        return
    known = sorted({*registry.names(), REMOTE})
    if name not in known:
        hint = "use one of " + ", ".join(known)
        if isinstance(name, str):
            folded = name.casefold()
            near = difflib.get_close_matches(folded.replace("_", "."), known, n=1)
            meant = CALLED.get(folded, near[0] if near else None)
            hint = f"did you mean {meant!r}?" if meant in known else hint
        raise RequestError(f"backend is {name!r}", hint=hint)
    if name == REMOTE and offline:
        raise RequestError("backend='remote' asks servers, which offline=True forbids", hint="leave one of them out")


def _check_choice(label: str, value: Any, choices: Iterable[str]) -> None:
    if value not in choices:
        raise RequestError(f"{label} is {value!r}", hint=f"use one of {', '.join(choices)}")
