"""What a conversion made: files, hashes, and how well each agrees with the weights it was made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..decision import Decision
from ..units import format_bytes, format_seconds

if TYPE_CHECKING:
    from ..models.lora import Lora

Format = Literal["gguf", "mlx", "onnx"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """The converted model's next-token probabilities beside those of its source, over the same text."""

    top1: float  # share of tokens after which both think the same token most likely, 0 to 1
    kl: float  # mean Kullback-Leibler divergence of the converted model from the source, in nats
    tokens: int  # compared
    reference: str  # what computed the source's: "transformers 5.24.0 in f32"
    independent: bool  # computed by other code than that of the converted model

    def __str__(self) -> str:
        return f"top-1 {self.top1:.1%}, KL {kl_text(self.kl)} nats over {self.tokens} tokens, against {self.reference}"


@dataclass(frozen=True, slots=True)
class Converted:
    """One file, or one folder, that was made."""

    path: Path
    quantization: str
    bytes: int
    sha256: str  # of a folder: of the lines `sha256sum` writes for the files in it, sorted by name
    agreement: Agreement | None  # None where no runtime is installed that could have run it


@dataclass(frozen=True, slots=True)
class Conversion:
    """What `edgelfm.convert` made. `path`, `bytes`, `sha256` and `agreement` are those of the first of `files`."""

    source: Path
    adapter: Lora | None  # that was merged
    format: Decision[str]  # gguf, mlx, onnx
    quantization: Decision[str]  # several have commas between
    files: tuple[Converted, ...]
    seconds: float
    notes: tuple[str, ...] = ()
    imatrix: Path | None = None  # the importance matrix that was used, whether given or computed

    @property
    def path(self) -> Path:
        """What `edgelfm.load` takes."""
        return self.files[0].path

    @property
    def bytes(self) -> int:
        """Of the first file."""
        return self.files[0].bytes

    @property
    def sha256(self) -> str:
        """Of the first file."""
        return self.files[0].sha256

    @property
    def agreement(self) -> Agreement | None:
        """Of the first file."""
        return self.files[0].agreement

    @property
    def next_command(self) -> str:
        """What to type in a shell to talk to it."""
        return f"edgelfm chat {self.path}"

    def __str__(self) -> str:
        merged = f" with {self.adapter.name}" if self.adapter else ""
        lines = [f"{self.source.name}{merged} as {self.format.value}, in {format_seconds(self.seconds)}"]
        for one in self.files:
            lines.append(f"  {one.path}  {format_bytes(one.bytes)}")
            lines.append(f"    {one.agreement or 'not checked'}")
            lines.append(f"    sha256 {one.sha256}")
        if self.imatrix is not None:
            lines.append(f"  with the importance matrix {self.imatrix}")
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])

    def data(self) -> dict[str, Any]:
        """For JSON. Sizes in bytes, KL in nats, times in seconds."""
        return {
            "source": str(self.source),
            "adapter": self.adapter.where if self.adapter else None,
            "imatrix": str(self.imatrix) if self.imatrix else None,
            "format": self.format.value,
            "format_reason": self.format.reason,
            "quantization_reason": self.quantization.reason,
            "files": [
                {
                    "path": str(one.path),
                    "quantization": one.quantization,
                    "bytes": one.bytes,
                    "sha256": one.sha256,
                    "agreement": _agreement(one.agreement),
                }
                for one in self.files
            ],
            "seconds": self.seconds,
            "notes": list(self.notes),
        }

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from ..markup import block, bundle

        return bundle(str(self), block(str(self)))


def kl_text(nats: float) -> str:
    """A divergence for people: `0.0123`, `2e-08`; `nan` where one of both is no number."""
    if nats != nats or nats >= 0.0005:
        return f"{nats:.4f}"
    return f"{nats:.0e}" if nats > 0 else "0"


def _agreement(one: Agreement | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "top1": one.top1,
        "kl_nats": one.kl,
        "tokens": one.tokens,
        "reference": one.reference,
        "independent": one.independent,
    }
