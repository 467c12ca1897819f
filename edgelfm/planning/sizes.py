"""What one artifact weighs: in memory, per token read, and to download. Exact where tensors are known, else bounded.

For llama.cpp the tensors follow from the architecture and the quantization, or from the file's header. Other runtimes
store weights in their own ways; there the published file size is taken, or bits per weight times parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..decision import Grade
from ..errors import RequestError, UnknownQuantization
from ..models.architecture import Architecture
from ..models.contents import is_pattern
from ..models.entry import Artifact, ModelEntry
from ..models.ggml import Tensor
from ..models.tensors import active_parameters, parameters, read_bytes, tensors_of
from . import on_the_fly

#: Bits per weight with scales: MLX keeps a 16-bit scale and bias per 64 weights, GGUF a 16-bit scale per 32. Mixed
#: formats are taken at the width that a small model, with its large embedding in 6 bits, comes out at.
BITS = {
    "Q4_0": 5.0, "Q4_1": 5.4, "Q4_K_M": 5.3, "Q5_K_M": 6.0, "Q6_K": 6.6, "Q8_0": 8.5, "F16": 16.0, "BF16": 16.0,
    "3bit": 3.5, "4bit": 4.5, "5bit": 5.5, "6bit": 6.5, "8bit": 8.5, "bf16": 16.0, "fp16": 16.0, "fp32": 32.0,
    "mxfp4": 4.3, "mxfp8": 8.3, "nvfp4": 4.6, "q4": 8.2, "q8": 11.7, "int4": 5.5, "int8": 9.0,
}  # fmt: skip
WIDEST = 16.0
#: Stands in for companions of unpublished size: the largest published is the projector of LFM2.5-VL-1.6B, 583 MB.
LARGEST_COMPANION = 600_000_000


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of one artifact, and the architecture that the rest of the memory bill is drawn from."""

    architecture: Architecture  # its own, or a larger published one that bounds it
    tensors: tuple[Tensor, ...]  # empty where they are not known
    weights: int
    read: int  # weights read per token
    companions: int  # projector, vocoder and the like, loaded beside the weights
    companions_bounded: bool  # the size of one of them is not published
    download: int  # all files
    grade: Grade  # "measured" stands for counted to the byte
    note: str
    made_from: int = 0  # bytes of the weights that these are made from while they are loaded


def sizes(entry: ModelEntry, artifact: Artifact, catalog: Sequence[ModelEntry]) -> Sizes | None:
    """Sizes of `artifact`, or None if neither architecture, parameters nor file sizes are known."""
    main = artifact.file("weights")
    published = (
        sum(file.bytes or 0 for file in artifact.files if file.role == "weights") if _complete(artifact) else None
    )
    companions, bounded = _companions(entry, artifact)
    architecture, note = entry.architecture, ""
    grade: Grade = "measured"
    if architecture is None:
        architecture = stand_in(entry, catalog)
        if architecture is None:
            return None
        grade, note = "estimated", "its architecture is not published; bounded by the next larger model"
    tensors: tuple[Tensor, ...] = ()
    if artifact.backend == "llama.cpp" and (entry.architecture is not None or artifact.tensors):
        try:
            tensors = tensors_of(entry, artifact)
        except (RequestError, UnknownQuantization):
            grade, note = "estimated", "tensor types are not known before the file is read"
    if tensors:
        weights, read = sum(tensor.bytes for tensor in tensors), read_bytes(tensors, architecture)
    else:
        counted = _by_bits(entry, artifact.quantization)
        if published is None and counted is None:
            return None
        weights = published if published is not None else counted or 0
        read = round(weights * _active_share(entry))
        grade = "estimated"
        note = note or ("size of the files" if published is not None else "bits per weight times parameters")
    download = (published if published is not None else weights) + companions if main is not None else 0
    made_from = 0
    if artifact.backend == "transformers" and artifact.quantization in on_the_fly.BITS:
        count = entry.parameters or parameters(architecture)
        made_from = published or 2 * count
        weights = on_the_fly.made_bytes(count, architecture, artifact.quantization)
        read, note = round(weights * _active_share(entry)), "made while it is loaded; embeddings stay in 16 bits"
    return Sizes(architecture, tensors, weights, read, companions, bounded, download, grade, note, made_from)


def stand_in(entry: ModelEntry, catalog: Sequence[ModelEntry]) -> Architecture | None:
    """The smallest published architecture for the same work with at least as many parameters.

    It bounds the caches and buffers of `entry`.
    """
    if entry.parameters is None:
        return None
    larger = [
        (other.parameters, other.architecture)
        for other in catalog
        if other.architecture is not None and other.parameters is not None
        if other.parameters >= entry.parameters and set(other.tasks).intersection(entry.tasks)
    ]
    return min(larger, key=lambda pair: pair[0])[1] if larger else None


def _companions(entry: ModelEntry, artifact: Artifact) -> tuple[int, bool]:
    """Bytes of the files beside the weights, and whether an unpublished size among them had to be bounded."""
    sizes = [file.bytes for file in artifact.files if file.role not in ("weights", "config")]
    if artifact.backend == "llama.cpp" and "image" in entry.modalities and artifact.file("projector") is None:
        sizes.append(None)
    bounded = None in sizes
    return sum(size or 0 for size in sizes) + (LARGEST_COMPANION if bounded else 0), bounded


def _complete(artifact: Artifact) -> bool:
    """Whether the size of every weights file is published."""
    weights = [file for file in artifact.files if file.role == "weights" and not is_pattern(file)]
    return bool(weights) and all(file.bytes is not None for file in weights)


def _by_bits(entry: ModelEntry, quantization: str) -> int | None:
    count = entry.parameters
    if count is None and entry.architecture is not None:
        try:
            count = parameters(entry.architecture)
        except RequestError:
            return None
    return None if count is None else round(count * BITS.get(quantization, WIDEST) / 8)


def _active_share(entry: ModelEntry) -> float:
    """Share of the weights that take part in one token."""
    if entry.active_parameters and entry.parameters:
        return entry.active_parameters / entry.parameters
    if entry.architecture is not None and entry.architecture.experts:
        try:
            return active_parameters(entry.architecture) / parameters(entry.architecture)
        except RequestError:
            return 1.0
    return 1.0
