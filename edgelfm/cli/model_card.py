"""One model in full: what it is for, how it is sampled, its files with their sizes, its licence."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..models.words import parameters_text, sampling_text
from .output import Column, write_facts, write_line, write_table

if TYPE_CHECKING:
    from pathlib import Path

    from ..models.entry import Artifact, ModelEntry

_COLUMNS = (
    Column("backend"),
    Column("quantization"),
    Column("size", right=True),
    Column("repository", fixed=False),
    Column("files", fixed=False, least=120),
    Column("here"),
)


def show(entry: ModelEntry) -> None:
    """Facts, then a line for each downloadable form."""
    thinks = "; always thinks before it answers" if entry.thinking else ""
    state = f"deprecated; take {entry.replacement}" if entry.status == "deprecated" else f"released {entry.released}"
    write_facts(
        [
            ("model", f"{entry.name} ({entry.id})"),
            ("repository", entry.repo),
            ("state", state),
            ("for", ", ".join(entry.tasks) + thinks),
            ("takes", ", ".join(entry.modalities)),
            ("weights", parameters(entry)),
            ("layers", _layers(entry)),
            ("context", _context(entry)),
            ("languages", ", ".join(entry.languages)),
            ("sampling", sampling_text(entry.sampling)),
            ("licence", f"{entry.license.name}: {entry.license.summary} {entry.license.url}"),
            *(("note", note) for note in entry.notes),
            *(("on disk", str(place)) for artifact in entry.artifacts if (place := on_disk(artifact))),
        ]
    )
    write_line()
    write_table(_COLUMNS, [_row(entry, artifact) for artifact in entry.artifacts])


def data(entry: ModelEntry) -> dict[str, Any]:
    """The same for JSON, without the list of tensors. Sizes are bytes, null where unknown."""
    written = asdict(entry)
    for artifact, plain in zip(entry.artifacts, written["artifacts"], strict=True):
        del plain["tensors"]
        place = on_disk(artifact)
        plain["bytes"] = download_bytes(entry, artifact)
        plain["on_disk"] = None if place is None else str(place)
    return written


def on_disk(artifact: Artifact) -> Path | None:
    """Where the weights are, if they need no download."""
    from ..models import store

    files = store.find(artifact)
    return files["weights"] if files else None


def download_bytes(entry: ModelEntry, artifact: Artifact) -> int | None:
    """Size of all files: exact where the catalogue or the architecture tells it, else by bits per weight."""
    from ..models import catalog
    from ..planning.sizes import sizes

    known = sizes(entry, artifact, tuple(catalog.load()))
    return known.download or None if known else None


def parameters(entry: ModelEntry) -> str:
    """`1.17B`, or `8.34B, 1.5B active` for a mixture of experts."""
    return parameters_text(entry) or "?"


def _row(entry: ModelEntry, artifact: Artifact) -> tuple[str, ...]:
    from ..units import format_bytes

    size = download_bytes(entry, artifact)
    files = ", ".join(file.name for file in artifact.files if file.role != "config")
    here = "yes" if on_disk(artifact) else "-"
    return (artifact.backend, artifact.quantization, format_bytes(size) if size else "?", artifact.repo, files, here)


def _layers(entry: ModelEntry) -> str:
    shape = entry.architecture
    if shape is None:
        return "not published"
    attend, convolve = len(shape.attention_layers), len(shape.conv_layers)
    return f"{shape.layers}: {attend} attend, {convolve} convolve" if convolve else f"{shape.layers}, all attend"


def _context(entry: ModelEntry) -> str:
    shape = entry.architecture
    if shape is None:
        return ""
    wider = shape.context_advertised > shape.context_supported
    return f"{shape.context_supported} tokens" + (f" (the file says {shape.context_advertised})" if wider else "")
