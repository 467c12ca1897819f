"""Turning a way down, with the figures and with what would change that."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

from ..errors import DoesNotFit, PlanningError
from ..hardware.host import Host
from ..models.entry import Artifact, ModelEntry
from ..models.lora import Lora
from ..units import GIB, MIB, format_bytes, round_up
from .adapting import FORMS, takes
from .on_the_fly import makers
from .plan import Budget, Candidate, Plan, Rejected, Request
from .show import speed_text

#: Extra of the edgelfm package that installs each backend.
EXTRAS = {"llama.cpp": "llama", "transformers": "transformers", "onnx": "onnx", "mlx": "mlx"}
#: What `edgelfm convert` makes of a folder of safetensors, by the runtime that takes it.
MADE_FROM_FOLDERS = {"llama.cpp": "gguf", "onnx": "onnx"}
#: Architectures that no released llama-cpp-python knows (0.3.36 was searched).
UNKNOWN_TO_LLAMA_CPP = frozenset({"lfm3"})
#: Which rejection is closest to running: one command away first, another question last.
ORDER = {"backend": 0, "quantization": 1, "context": 2, "disk": 3, "memory": 4, "unsupported": 5, "task": 6}


def install_command(host: Host, backend: str) -> str:
    """What to type to get the runtime of `backend`."""
    runtime = host.runtime(backend)
    if runtime is not None and runtime.install:
        return runtime.install
    return f"pip install 'edgelfm[{EXTRAS[backend]}]'" if backend in EXTRAS else f"install the runtime {backend}"


def unopenable(host: Host, model: str, backend: str, quantization: str, drivable: Iterable[str]) -> Rejected:
    """This version of edgelfm has no room for the backend."""
    others = " or ".join(f"backend={name!r}" for name in sorted(drivable))
    reason = f"this version of edgelfm cannot open {backend} models"
    runtime = host.runtime(backend)
    if runtime is not None and runtime.installed:
        reason += f", although {runtime.package} {runtime.version} is installed"
    return Rejected(
        model, backend, quantization, reason, f"use {others}" if others else "update edgelfm", 0, "unsupported"
    )


def installed(host: Host, backend: str) -> bool:
    """Whether the runtime of `backend` is there and can be used."""
    runtime = host.runtime(backend)
    return runtime is not None and runtime.installed and not runtime.reason


def missing(host: Host, model: str, backend: str, quantization: str, would: Candidate | None = None) -> Rejected:
    """The runtime is not installed here, or is installed and broken. `would` is what it would have run."""
    runtime = host.runtime(backend)
    if runtime is not None and runtime.installed:
        reason = f"{runtime.package} {runtime.version} cannot be used: {runtime.reason}"
    else:
        reason = f"{backend} is not installed"
    if would is not None:
        context = would.settings.context.value
        reason += f"; it would fit here with context {context} in {format_bytes(would.memory.total)}"
        if would.decode.low is None:
            reason += "; how fast is unknown"
        else:
            where = " on the GPU" if would.settings.gpu_layers.value else ""
            reason += f" and write {speed_text(would.decode)}{where} ({would.decode.grade})"
    return Rejected(model, backend, quantization, reason, install_command(host, backend), 0, "backend")


def no_adapter(entry: ModelEntry, backend: str, lora: Lora) -> Rejected:
    """The runtime cannot have the adapter beside a model."""
    able = [name for name in FORMS if takes(name, lora)]
    reason = f"{backend} cannot have the adapter {lora.name} beside a model"
    if lora.form == "gguf" and backend in FORMS:
        reason = f"{backend} cannot read an adapter that was written for llama.cpp"
    fix = f"use backend {' or '.join(able)}"
    if backend == "onnx" and lora.form != "gguf":
        fix += f"; or merge it: edgelfm convert <folder of its base model> --adapter {lora.where} --to onnx"
    return Rejected(entry.id, backend, "", reason, fix, 0, "unsupported")


def no_maker(entry: ModelEntry, backend: str, quantization: str, device: str) -> Rejected:
    """Nothing here makes weights of so few bits."""
    able = makers(quantization, device)
    if not able:
        reason = f"nothing makes {quantization} on {device}"
        return Rejected(entry.id, backend, quantization, reason, "choose quantization bf16", 0, "quantization")
    reason = f"{quantization} is made by {' or '.join(able)}, and neither is installed"
    if len(able) == 1:
        reason = f"{quantization} is made by {able[0]}, which is not installed"
    return Rejected(entry.id, backend, quantization, reason, f"pip install {able[0]}", 0, "backend")


def unknown_architecture(entry: ModelEntry, backend: str, quantization: str) -> Rejected:
    """No released version of the runtime knows the network."""
    architecture = entry.architecture.name if entry.architecture is not None else "of this model"
    reason = f"no released version of {backend} for Python knows the architecture {architecture}"
    others = sorted({one.backend for one in entry.artifacts if knows(one.backend, entry)})
    fix = " or ".join(f"backend={name!r}" for name in others)
    fix = f"use {fix}" if others else "choose another model: edgelfm models"
    return Rejected(entry.id, backend, quantization, reason, fix, 0, "unsupported")


def unpublished(entry: ModelEntry, backend: str, quantization: str, host: Host | None = None) -> Rejected:
    """The model does not come in this quantization, or not for this runtime at all. `host` is where it is to run."""
    published = entry.quantizations(backend)
    reason = f"not published as {quantization}" if quantization else f"does not come in a form for {backend}"
    others = sorted({
        one.backend
        for one in entry.artifacts
        if one.backend != backend and quantization.lower() in ("", one.quantization.lower())
        if knows(one.backend, entry) and (host is None or made_for(host, one.backend))
    })  # fmt: skip
    use = " or ".join(f"backend={name!r}" for name in others)
    ways = [f"choose quantization {', '.join(published)}"] if published else []
    if others:
        ways.append(f"use {use}" + (f", which has {quantization}" if quantization else ""))
    fix = ", or ".join(ways) or "choose another model: edgelfm models"
    folder = next((one.path for one in entry.artifacts if one.path and one.backend == "transformers"), "")
    if not published and folder and backend in MADE_FROM_FOLDERS:
        fix = f"edgelfm convert {folder} --to {MADE_FROM_FOLDERS[backend]}"
    return Rejected(entry.id, backend, quantization, reason, fix, 0, "quantization")


def knows(backend: str, entry: ModelEntry) -> bool:
    """Whether a released version of the runtime knows the network."""
    architecture = entry.architecture
    return backend != "llama.cpp" or architecture is None or architecture.name not in UNKNOWN_TO_LLAMA_CPP


def made_for(host: Host, backend: str) -> bool:
    """Whether the runtime is one to propose there: MLX only where it is at home, or installed already."""
    return backend != "mlx" or host.os.system == "darwin" or installed(host, backend)


def unsupported_context(
    entry: ModelEntry, artifact: Artifact, asked: int, supported: int, advertised: int, fitting: int
) -> Rejected:
    """More context was asked for than the model card stands behind. `fitting` is what there is room for."""
    reason = f"supports {supported} tokens of context, {asked} were asked for"
    if advertised > supported:
        reason += f"; the {advertised} in its files are not what it was made for"
    return Rejected(entry.id, artifact.backend, artifact.quantization, reason, f"use context {fitting}", 0, "context")


def kv_as_computed(entry: ModelEntry, artifact: Artifact, asked: str, able: Iterable[str]) -> Rejected:
    """Keys and values were asked for in fewer bits than the runtime computes with. `able` are runtimes that do it."""
    reason = f"{artifact.backend} keeps keys and values as it computes them, not in {asked}"
    fix = "leave kv_type out"
    for backend in able:
        if any(one.backend == backend for one in entry.artifacts):
            fix += f", or use backend={backend!r}"
    return Rejected(entry.id, artifact.backend, artifact.quantization, reason, fix, 0, "unsupported")


def no_disk(entry: ModelEntry, artifact: Artifact, download: int, free: int) -> Rejected:
    """The files would not fit on the disk."""
    reason = f"{format_bytes(download)} to download, {format_bytes(free)} free where models are kept"
    fix = f"free {_rounded(download - free)} of disk"
    return Rejected(entry.id, artifact.backend, artifact.quantization, reason, fix, 0, "disk")


def unasked_thinking(candidate: Candidate, seconds: float | None) -> Rejected:
    """It would fit, but it thinks before every answer."""
    wait = "" if seconds is None else f", some {seconds:.0f} s here before the first word of an answer"
    return Rejected(
        candidate.model.id,
        candidate.backend,
        candidate.quantization,
        f"always thinks before it answers{wait}",
        f"edgelfm.load({candidate.model.id!r}), or task='reason'",
        0,
        "task",
    )


def too_big(entry: ModelEntry, artifact: Artifact, needed: int, budget: Budget, fix: str) -> Rejected:
    """It needs more memory than may be used, even with every setting that may give way at its least."""
    reason = f"needs {format_bytes(needed)} at the least, {format_bytes(budget.usable_bytes)} can be used"
    short = max(1, needed - budget.usable_bytes)
    return Rejected(entry.id, artifact.backend, artifact.quantization, reason, fix, short, "memory")


def room_fix(host: Host, budget: Budget, request: Request, needed: int) -> str:
    """Where the memory could come from: a wider request, other programs closed, a wider container, another machine."""
    if request.memory_bytes is not None and needed <= budget.available_bytes:
        return f"allow {_rounded(needed)} of memory"
    reserve = 0 if request.memory_bytes is not None else budget.reserve_bytes
    limit = host.memory.limit_bytes
    ceiling = min(host.memory.total_bytes, limit) if limit is not None else host.memory.total_bytes
    short, allow = needed - budget.usable_bytes, ""
    if request.memory_bytes is not None:
        short, allow = needed - budget.available_bytes, f"allow {_rounded(needed)} of memory and "
    if needed + reserve <= ceiling:
        return f"{allow}close {_rounded(short)} of other programs"
    if limit is not None and needed + reserve <= host.memory.total_bytes:
        return f"{allow}raise the memory limit of the container by {_rounded(short)}, to {_rounded(limit + short)}"
    return f"take a machine with {_rounded(needed + reserve)} of free memory"


def closeness(rejected: Rejected) -> tuple[int, int]:
    """Sort key: the way that is nearest to running comes first."""
    return ORDER[rejected.cause], rejected.short_bytes


def require(plan: Plan) -> Candidate:
    """The chosen candidate. Raises `DoesNotFit` or `PlanningError`, whose hint is the nearest fix."""
    if plan.chosen is not None:
        return plan.chosen
    nearest = next((one for one in plan.rejected if one.cause != "task"), None)
    wanted = plan.request.model.name if plan.request.model else f"No model for task {plan.request.task!r}"
    if nearest is None:
        backend = f" on the backend {plan.request.backend!r}" if plan.request.backend else ""
        raise PlanningError(f"{wanted}{backend}: nothing in the catalogue matches", hint="edgelfm models")
    way = f"{nearest.model} {nearest.quantization}".strip()
    error = DoesNotFit if nearest.cause == "memory" else PlanningError
    what = "cannot run here" if plan.request.model else "can run here"
    raise error(f"{wanted} {what}: {way} on {nearest.backend}: {nearest.reason}", hint=nearest.fix)


def _rounded(count: int) -> str:
    """Rounded up, so that doing what it says is enough: `300 MiB`, `1.4 GiB`."""
    if round_up(count, 10 * MIB) < 1000 * MIB:
        return f"{round_up(count, 10 * MIB) // MIB} MiB"
    return f"{ceil(count / GIB * 10) / 10} GiB"
