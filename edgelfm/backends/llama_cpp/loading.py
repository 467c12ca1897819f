"""From a candidate and a file to an open model and context, with the settings the plan decided."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from ...errors import BackendError, ModelFileError
from ...planning.plan import Settings
from ..base import Memory, Progress
from ..identity import fingerprint
from . import buffers
from .library import captured, library, repacks
from .trial import require_loadable

_SEQUENCES = 1
#: We only ever need the logits of the last token of a batch. Saying so lets llama.cpp reserve one row of logits instead
#: of one per token of the micro-batch: at 65,536 words and 512 tokens that is 128 MiB.
_OUTPUTS = 1


@dataclass(frozen=True, slots=True)
class Beside:
    """A LoRA adapter. It belongs to the model and goes with it."""

    digest: str  # what tells it from every other
    pointer: Any  # as llama_cpp gives it
    memory: Memory


@dataclass(slots=True)
class Loaded:
    """Pointers to a model and its context. `free()` gives both back."""

    llama: ModuleType
    path: Path
    model: int
    context: int
    settings: Settings
    weights: Memory  # of the model alone
    memory: Memory  # of model, adapter and context
    beside: Beside | None = None  # an adapter

    def reopen(self, settings: Settings) -> None:
        """Replace the context by one with these settings. The weights stay; the state is gone.

        Raises `BackendError`, and there is no context then.
        """
        self.llama.llama_free(self.context)
        self.context = 0
        self.context, held = open_context(self.llama, self.model, settings, self.path.name, self.beside)
        self.settings, self.memory = settings, self.weights + held

    def use_adapter(self, path: Path | None) -> None:
        """Let another LoRA run beside the weights, or none. The context is another one then; the state is gone.

        Raises `ModelFileError`, and nothing has changed then; `BackendError` like `reopen`.
        """
        following = _open_adapter(self.llama, self.model, path) if path is not None else None
        before, self.beside = self.beside, following
        self.reopen(self.settings)
        if before is not None:
            self.llama.llama_adapter_lora_free(before.pointer)

    def free(self) -> None:
        """Free context and model."""
        self.llama.llama_free(self.context)
        self.llama.llama_model_free(self.model)


def load(path: Path, settings: Settings, progress: Progress | None = None, adapter: Path | None = None) -> Loaded:
    """Load `path`, and let the LoRA in the GGUF file `adapter` run beside it.

    Raises `BackendMissing`, `ModelFileError` for a bad file, `BackendError` if llama.cpp gives up.
    """
    llama = library()
    if not path.is_file():
        raise ModelFileError(f"{path} is not a file", hint="give the path of a .gguf file, or the name of a model")
    require_loadable(path, version("llama-cpp-python"))
    with captured() as log:
        params = llama.llama_model_default_params()
        params.use_extra_bufts = repacks()
        params.n_gpu_layers = settings.gpu_layers.value
        params.load_mode = llama.LLAMA_LOAD_MODE_MMAP if settings.mmap.value else llama.LLAMA_LOAD_MODE_NONE
        abandoned: list[BaseException] = []
        callback = _progress_callback(llama, progress, abandoned)
        params.progress_callback = callback
        model = llama.llama_model_load_from_file(str(path).encode(), params)
        weights = buffers.parse(log.lines)
    if abandoned:
        raise abandoned[0]
    if not model:
        raise BackendError(
            f"llama.cpp could not load {path.name}: {log.last_error()}",
            hint="free some memory, or ask for a smaller quantization",
        )
    try:
        # Before the context, which makes room in its graph for what the model has.
        beside = _open_adapter(llama, model, adapter) if adapter is not None else None
        context, held = open_context(llama, model, settings, path.name, beside)
    except BaseException:
        llama.llama_model_free(model)
        raise
    return Loaded(llama, path, model, context, settings, weights, weights + held, beside)


def _open_adapter(llama: ModuleType, model: int, path: Path) -> Beside:
    """A LoRA for `model`. Raises `ModelFileError`."""
    with captured() as log:
        lora = llama.llama_adapter_lora_init(model, str(path).encode())
        if not lora:
            reason = log.last_error().removeprefix("failed to apply lora adapter: ")
            raise ModelFileError(
                f"llama.cpp cannot use the adapter {path}: {reason}", hint="give the model it was trained on"
            )
        return Beside(fingerprint(path), lora, buffers.parse(log.lines))


def open_context(
    llama: ModuleType, model: int, settings: Settings, name: str, beside: Beside | None = None
) -> tuple[int, Memory]:
    """A context for `model` with an adapter at work, and what they hold beside it. Raises `BackendError`."""
    with captured() as log:
        context = llama.llama_init_from_model(model, context_params(llama, settings))
        if not context:
            raise BackendError(
                f"llama.cpp could not make a context of {settings.context.value} tokens for {name}: {log.last_error()}",
                hint=f"ask for less: context={max(512, settings.context.value // 2)}",
            )
        held = buffers.parse(log.lines)
        if beside is not None:
            one, scale = (llama.llama_adapter_lora_p_ctypes * 1)(beside.pointer), (ctypes.c_float * 1)(1.0)
            llama.llama_set_adapters_lora(context, one, 1, scale)
            held += beside.memory
        return context, held


def context_params(llama: ModuleType, settings: Settings) -> object:
    """`llama_context_params` for these settings."""
    kv_type = {"f16": llama.GGML_TYPE_F16, "q8_0": llama.GGML_TYPE_Q8_0, "q4_0": llama.GGML_TYPE_Q4_0}[
        settings.kv_type.value
    ]
    params = llama.llama_context_default_params()
    params.n_ctx = settings.context.value
    params.n_batch = settings.batch.value
    params.n_ubatch = settings.micro_batch.value
    params.n_seq_max = _SEQUENCES
    params.n_outputs_max = _OUTPUTS
    params.n_threads = settings.threads.value
    params.n_threads_batch = settings.threads_prefill.value
    params.flash_attn_type = (
        llama.LLAMA_FLASH_ATTN_TYPE_ENABLED if settings.flash_attention.value else llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
    )
    params.type_k = params.type_v = kv_type
    params.no_perf = True
    return params


def _progress_callback(llama: ModuleType, progress: Progress | None, abandoned: list[BaseException]) -> object:
    """Report to `progress`, and let Ctrl-C or an error in it abandon the load instead of being lost in native code."""

    @llama.llama_progress_callback  # type: ignore[untyped-decorator]
    def report(fraction: float, _user_data: ctypes.c_void_p) -> bool:
        try:
            if progress is not None and not progress(fraction):
                raise BackendError("loading was abandoned")
        except BaseException as error:  # noqa: BLE001  (carried across native code and raised by the caller)
            abandoned.append(error)
            return False
        return True

    callback: object = report
    return callback
