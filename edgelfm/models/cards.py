"""The shape of the catalogue's YAML files: what may be written in them, and what follows from a short line.

Most of the family keeps to one naming rule, so a card names an exception and the rest follows: `gguf: {}` stands for
six files `<name>-<quantization>.gguf` in `<repo>-GGUF`. Importing this module loads pydantic; only `catalog.load` does.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..yamlfile import Strict
from .architecture import Architecture
from .entry import Artifact, File, Modality, PromptFormat, Role, Task

#: What Liquid AI publishes for most models (docs.liquid.ai/lfm/models/complete-library).
GGUF_QUANTIZATIONS = ["Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16"]
ONNX_QUANTIZATIONS = ["q4", "fp16", "q8"]
#: What describes a graph and its tokenizer lies in the root of the repository.
_ONNX_CONFIG = (
    File("config.json", "config"),
    File("tokenizer.json", "config"),
    File("*.json", "config"),
    File("*.jinja", "config"),
)

Positive = Annotated[int, Field(gt=0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Repo = Annotated[str, Field(pattern=r"^[\w.{}-]+/[\w.{}-]+$")]
Sources = Annotated[list[str], Field(min_length=1)]


class ArchitectureCard(Strict):
    """Sizes of one network; see `Architecture` for the meaning of each."""

    name: str
    layers: Positive
    attention: list[int] | None = None
    attention_count: Positive | None = None
    kv_heads: Positive
    hidden: Positive
    heads: Positive
    head_dim: Positive
    feed_forward: Positive
    vocabulary: Positive
    conv_cache: int = 0
    tied_embeddings: bool = True
    sliding: list[int] = Field(default_factory=list)
    sliding_window: int = 0
    experts: int = 0
    experts_used: int = 0
    expert_feed_forward: int = 0
    dense_layers: int = 0
    qk_norm: bool = True
    context_supported: Positive
    context_advertised: Positive
    sources: Sources

    @model_validator(mode="after")
    def _agrees(self) -> ArchitectureCard:
        if self.attention is not None and self.attention_count is not None:
            raise ValueError("give attention or attention_count, not both")
        if any(not 0 <= layer < self.layers for layer in self.attention_layers()):
            raise ValueError(f"attention layers must lie between 0 and {self.layers - 1}")
        if not set(self.sliding) <= set(self.attention_layers()):
            raise ValueError("sliding layers must be attention layers")
        return self

    def attention_layers(self) -> list[int]:
        """Indices of the layers that attend; all of them where the card says nothing."""
        if self.attention is not None:
            return self.attention
        count = self.attention_count or self.layers
        return [(2 * i + 1) * self.layers // (2 * count) for i in range(count)]

    def build(self, context_supported: int | None) -> Architecture:
        """The architecture, with the context that one model's card stands behind."""
        attends = set(self.attention_layers())
        return Architecture(
            name=self.name,
            layers=self.layers,
            kv_heads=tuple(self.kv_heads if layer in attends else 0 for layer in range(self.layers)),
            hidden=self.hidden,
            heads=self.heads,
            head_dim=self.head_dim,
            feed_forward=self.feed_forward,
            vocabulary=self.vocabulary,
            conv_cache=self.conv_cache,
            tied_embeddings=self.tied_embeddings,
            sliding_window=self.sliding_window,
            sliding_layers=tuple(self.sliding),
            experts=self.experts,
            experts_used=self.experts_used,
            expert_feed_forward=self.expert_feed_forward,
            dense_layers=self.dense_layers,
            qk_norm=self.qk_norm,
            context_supported=context_supported or self.context_supported,
            context_advertised=max(self.context_advertised, context_supported or 0),
        )


class SamplingCard(Strict):
    """A sampling preset."""

    temperature: Annotated[float, Field(ge=0)]
    top_k: Positive | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0)] = 1.0
    source: Annotated[str, Field(min_length=1)]


class LicenseCard(Strict):
    """A licence of weights."""

    name: str
    url: str
    summary: str
    must_show: bool
    sources: Sources


class Known(Strict):
    """What is published about one file."""

    bytes: Positive | None = None
    sha256: Sha256 | None = None


class FileCard(Known):
    """One file, written out."""

    name: str
    role: Role = "weights"


class ArtifactCard(Strict):
    """One artifact, written out."""

    backend: Literal["llama.cpp", "mlx", "onnx", "transformers"]
    quantization: str
    repo: str
    files: Annotated[list[FileCard], Field(min_length=1)]
    revision: str = "main"


class GgufCard(Strict):
    """GGUF files of one repository."""

    repo: Repo | None = None
    quantizations: list[str] = Field(default_factory=lambda: list(GGUF_QUANTIZATIONS))
    companions: dict[Role, str] = Field(default_factory=dict)
    known: dict[str, Known] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known_files_exist(self) -> GgufCard:
        companions = {
            pattern.format(quantization=q) for pattern in self.companions.values() for q in self.quantizations
        }
        for name in self.known:
            if name not in companions and not any(name.endswith(f"-{q}.gguf") for q in self.quantizations):
                raise ValueError(f"{name!r} is not a file of this model")
        return self


class MlxCard(Strict):
    """MLX weights: a repository, or a folder of one, for each quantization."""

    repo: Repo
    quantizations: Annotated[list[str], Field(min_length=1)]
    folder: str = "."


class OnnxCard(Strict):
    """ONNX graphs of one repository."""

    repo: Repo | None = None
    layout: Literal["text", "vision", "audio"] = "text"


class ModelCard(Strict):
    """One model."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    name: str
    repo: Repo | None = None
    architecture: str | None = None
    context_supported: Positive | None = None
    parameters: Positive | None = None
    prompt_format: PromptFormat
    license: str = "lfm1.0"
    sampling: str
    modalities: list[Modality] = Field(default_factory=lambda: list[Modality](("text",)))
    tasks: Annotated[list[Task], Field(min_length=1)]
    thinking: bool = False
    languages: list[str] = Field(default_factory=list)
    released: Annotated[str, Field(pattern=r"^\d{4}-\d{2}$")] | Literal[""] = ""
    status: Literal["current", "deprecated"] = "current"
    replacement: str = ""
    preference: Annotated[int, Field(ge=0, le=100)]
    aliases: list[str] = Field(default_factory=list)
    gguf: GgufCard | None = None
    mlx: MlxCard | None = None
    onnx: OnnxCard | None = None
    transformers: bool = True
    artifacts: list[ArtifactCard] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    sources: Sources

    @model_validator(mode="after")
    def _replaced_when_deprecated(self) -> ModelCard:
        if (self.status == "deprecated") != bool(self.replacement):
            raise ValueError("a deprecated model, and no other, names its replacement")
        return self

    def build_artifacts(self) -> tuple[Artifact, ...]:
        """Every downloadable form of this model, llama.cpp first."""
        base = self.repo or f"LiquidAI/{self.name}"
        found = [
            Artifact(
                card.backend,
                card.quantization,
                card.repo,
                tuple(File(f.name, f.role, f.bytes, f.sha256) for f in card.files),
                card.revision,
            )
            for card in self.artifacts
        ]
        if self.gguf:
            found += [self._gguf_artifact(self.gguf, base, q) for q in self.gguf.quantizations]
        if self.mlx:
            found += [
                Artifact("mlx", q, self.mlx.repo.format(quantization=q), (_folder(self.mlx.folder, q),))
                for q in self.mlx.quantizations
            ]
        if self.onnx:
            repo = self.onnx.repo or f"{base}-ONNX"
            found += [Artifact("onnx", q, repo, _onnx_files(self.onnx.layout, q)) for q in ONNX_QUANTIZATIONS]
        if self.transformers:
            found.append(Artifact("transformers", "bf16", base, (_folder(".", ""),)))
        return tuple(found)

    def _gguf_artifact(self, gguf: GgufCard, base: str, quantization: str) -> Artifact:
        names: list[tuple[str, Role]] = [(f"{self.name}-{quantization}.gguf", "weights")]
        names += [(pattern.format(quantization=quantization), role) for role, pattern in gguf.companions.items()]
        files = []
        for name, role in names:
            known = gguf.known.get(name, Known())
            files.append(File(name, role, known.bytes, known.sha256))
        return Artifact("llama.cpp", quantization, gguf.repo or f"{base}-GGUF", tuple(files))


class ArchitectureFile(Strict):
    """architectures.yaml."""

    architectures: dict[str, ArchitectureCard]


class SamplingFile(Strict):
    """sampling.yaml."""

    sampling: dict[str, SamplingCard]


class LicenseFile(Strict):
    """licenses.yaml."""

    licenses: dict[str, LicenseCard]


class ModelFile(Strict):
    """Every other file of the catalogue."""

    models: list[ModelCard]


def _folder(pattern: str, quantization: str) -> File:
    return File(pattern.format(quantization=quantization) + "/")


def _onnx_files(layout: str, quantization: str) -> tuple[File, ...]:
    """Names in Liquid AI's own exports (github.com/Liquid4All/onnx-export); large graphs keep weights beside them."""
    if layout == "vision":  # fp16 encoders go with every decoder, as its export guide recommends
        return (
            File(f"onnx/decoder_{quantization}.onnx"),
            File("onnx/embed_tokens_fp16.onnx"),
            File("onnx/embed_images_fp16.onnx", "projector"),
            *_ONNX_CONFIG,
        )
    if layout == "audio":
        return (_folder("onnx", ""),)
    graph = f"onnx/model_{quantization}.onnx"
    # A graph below 2 GB may hold its weights; others keep them in one file beside it, or in several.
    data = (File(f"{graph}_data"),) if quantization == "q4" else ()
    return (File(graph), *data, File(f"{graph}_data*"), *_ONNX_CONFIG)
