"""A model and the catalogue in a notebook: what there is, how large, under which licence. Looks at no disk."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import RequestError, UnknownQuantization
from ..markup import bundle, code, escape, facts, folded, grid, heading, link, small
from ..units import format_bytes
from .catalog import Catalog
from .entry import Artifact, ModelEntry
from .tensors import tensors_of
from .words import parameters_text, sampling_text

_HUB = "https://huggingface.co/"
_SHOWN = 40  # models of a catalogue


def entry_bundle(entry: ModelEntry) -> dict[str, str]:
    """One model: what it is for, its licence, the forms it comes in."""
    shape, text = entry.architecture, []
    context = ""
    if shape is not None and shape.context_supported:
        context = f"{shape.context_supported} tokens"
        if shape.context_advertised > shape.context_supported:
            context += f" (its files say {shape.context_advertised}, which is not what it was made for)"
    layers = ""
    if shape is not None:
        attend = len(shape.attention_layers)
        layers = f"{shape.layers}, of which {attend} keep keys and values" if shape.conv_layers else f"{shape.layers}"
    state = f"deprecated; take {entry.replacement}" if entry.status == "deprecated" else f"released {entry.released}"
    lines = [
        ("for", ", ".join(entry.tasks) + ("; always thinks before it answers" if entry.thinking else "")),
        ("takes", ", ".join(entry.modalities)),
        ("weights", parameters_text(entry)),
        ("context", context),
        ("layers", layers),
        ("languages", ", ".join(entry.languages)),
        ("sampling", sampling_text(entry.sampling)),
        ("state", state if entry.released or entry.status == "deprecated" else ""),
        *(("note", note) for note in entry.notes if not note.startswith("Deprecated")),
    ]
    said = [(name, value) for name, value in lines if value]
    license = entry.license
    text += [f"{entry.name} ({entry.id})", *(f"  {name}: {value}" for name, value in said)]
    text += [f"  licence: {license.name}, {license.url}"]
    rows = [(name, escape(value)) for name, value in said]
    rows.append(("licence", f"{link(license.url, license.name)}{small(license.summary)}"))
    rows.append(("load it with", code(f'edgelfm.load("{entry.id}")')))
    forms = [_form(entry, artifact) for artifact in entry.artifacts]
    table = grid(("backend", "quantization", "size", "repository"), forms, right=(2,))
    above = heading(entry.name) + f"<p>{_repository(entry.repo)}</p>"
    folds = folded(f"{len(forms)} forms to download", table) if len(forms) > 1 else table if forms else ""
    return bundle("\n".join(text), above, facts(rows), folds)


def catalog_bundle(catalog: Catalog) -> dict[str, str]:
    """Every model, current ones first; deprecated ones to be opened."""
    current = [entry for entry in catalog if entry.status == "current"]
    old = [entry for entry in catalog if entry.status != "current"]
    wide = max((len(entry.id) for entry in catalog), default=0)
    lines = [f"{entry.id:{wide}}  {parameters_text(entry):>20}  {', '.join(entry.tasks)}" for entry in current]
    lines.append(f"and {len(old)} deprecated" if old else "")
    parts = [heading("Models", f"{len(current)} current, {len(old)} deprecated"), _models(current[:_SHOWN])]
    for title, rest in (("more", current[_SHOWN:]), ("deprecated", old)):
        if rest:
            parts.append(folded(f"{len(rest)} {title}", _models(rest)))
    licenses = [f"{link(one.url, one.name)}{small(one.summary)}" for one in catalog.licenses.values()]
    parts.append(folded("Licences of the weights", "".join(f"<p>{one}</p>" for one in licenses)))
    return bundle("\n".join(lines), *parts)


def _models(entries: Sequence[ModelEntry]) -> str:
    rows = []
    for entry in entries:
        shape = entry.architecture
        instead = small(f"take {entry.replacement}") if entry.replacement else ""
        tasks = ", ".join(entry.tasks) + (", always thinks" if entry.thinking else "")
        context = str(shape.context_supported) if shape is not None and shape.context_supported else "–"
        backends = ", ".join(dict.fromkeys(artifact.backend for artifact in entry.artifacts))
        rows.append((
            code(entry.id) + instead, escape(parameters_text(entry)) or "–", context, escape(tasks), escape(backends)
        ))  # fmt: skip
    return grid(("model", "weights", "context", "for", "backends"), rows, right=(1, 2))


def _form(entry: ModelEntry, artifact: Artifact) -> tuple[str, ...]:
    size = weight_bytes(entry, artifact)
    where = escape(artifact.path) if artifact.path else _repository(artifact.repo)
    return escape(artifact.backend), escape(artifact.quantization), format_bytes(size) if size else "–", where


def _repository(name: str) -> str:
    """A link, where the name is one that the Hub allows."""
    return link(_HUB + name, name) if re.fullmatch(r"[\w.-]+/[\w.-]+", name, re.ASCII) else escape(name)


def weight_bytes(entry: ModelEntry, artifact: Artifact) -> int | None:
    """Bytes of all files as published, or of the weights where they follow from the architecture; else None."""
    if artifact.files and all(file.bytes is not None for file in artifact.files):
        return sum(file.bytes or 0 for file in artifact.files)
    if artifact.backend != "llama.cpp" or (entry.architecture is None and not artifact.tensors):
        return None
    try:
        return sum(tensor.bytes for tensor in tensors_of(entry, artifact))
    except (RequestError, UnknownQuantization):
        return None
