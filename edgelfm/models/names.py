"""From what people type to one model: a name, an alias, a repository, a link, a file or a folder.

    lfm2.5-1.2b                                     the catalogue, forgiving about case, spaces and hyphens
    LiquidAI/LFM2.5-1.2B-Instruct-GGUF:Q4_0         one quantization of one repository
    ./model.gguf, ~/models/lfm2/                    what is on this disk
    somebody/their-model-GGUF                       any repository of the Hub, sized from a header read by range

A name in the catalogue never asks the Hub. This module only decides which of these a name is.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

from ..errors import NotDownloaded, RemoteFileMissing, RequestError, UnknownModel, UnknownQuantization
from .catalog import Catalog, fold, load
from .entry import ModelEntry
from .hub_settings import is_offline
from .local import entry_at
from .remote import Hub, entry_in

_QUANTIZATION = r"(?:UD-)?(?:I?Q\d\w*|TQ\d\w*|B?F16|FP16|F32|MXFP\d\w*|NVFP4|\dbit)"
_TAGGED = re.compile(rf"(?P<name>.+?):(?P<tag>{_QUANTIZATION})", re.IGNORECASE)
_SUFFIXED = re.compile(rf"(?P<name>.+?)[-. ](?P<tag>{_QUANTIZATION})", re.IGNORECASE)
_LINK = re.compile(r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/(?P<rest>.+)", re.IGNORECASE)
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def resolve(
    name: str | Path, *, hub: Hub | None = None, offline: bool | None = None, catalog: Catalog | None = None
) -> ModelEntry:
    """The model that `name` means.

    Raises `RequestError` for an empty name, `UnknownModel` with the nearest names, `UnknownQuantization` with the
    published ones, `ModelFileError` for a file or folder that holds no sound model, `NotDownloaded` when offline and
    the Hub would have to be asked, and the hub's own errors.
    """
    catalog = load() if catalog is None else catalog
    text = str(name).strip()
    if not text:
        raise RequestError("the name of the model is empty", hint="edgelfm models")
    known = _from_catalog(text, catalog)
    if known is not None and not (isinstance(name, Path) and name.exists()):
        return known
    path = Path(text).expanduser()
    if path.exists():
        return entry_at(path, catalog)
    if text.startswith((".", "~", os.sep)) or text.lower().endswith(".gguf") or "\\" in text:
        raise UnknownModel(
            f"no model {text!r} on this disk", hint=f"check the path; the folder you are in is {Path.cwd()}"
        )
    return _from_hub(text, catalog, hub, offline)


def _from_catalog(text: str, catalog: Catalog) -> ModelEntry | None:
    """The catalogue's entry, narrowed to what the name says about repository and quantization."""
    text = _without_link(text)
    entry = catalog.find(text)
    if entry is not None:
        return _in_repository(entry, text)
    for pattern in (_TAGGED, _SUFFIXED):
        match = pattern.fullmatch(text)
        entry = catalog.find(match["name"]) if match else None
        if match and entry is not None:
            return with_quantization(_in_repository(entry, match["name"]), match["tag"])
    return None


def with_quantization(entry: ModelEntry, quantization: str) -> ModelEntry:
    """`entry` with only the artifacts of that quantization. Raises `UnknownQuantization`."""
    wanted = quantization.upper().removeprefix("UD-")
    artifacts = tuple(a for a in entry.artifacts if a.quantization.upper() in (wanted, quantization.upper()))
    if not artifacts:
        published = ", ".join(dict.fromkeys(artifact.quantization for artifact in entry.artifacts))
        raise UnknownQuantization(
            f"{entry.name} is not published as {quantization}", hint=f"choose one of: {published or 'none is known'}"
        )
    return replace(entry, artifacts=artifacts)


def _in_repository(entry: ModelEntry, name: str) -> ModelEntry:
    """Somebody who names the GGUF repository means its files, and not the ONNX ones."""
    key = fold(name).rpartition("/")[2]
    if key == fold(entry.repo).rpartition("/")[2]:
        return entry
    there = tuple(a for a in entry.artifacts if a.repo.count("/") == 1 and fold(a.repo).rpartition("/")[2] == key)
    return replace(entry, artifacts=there) if there else entry


def _from_hub(text: str, catalog: Catalog, hub: Hub | None, offline: bool | None) -> ModelEntry:
    text = _without_link(text)
    match = _TAGGED.fullmatch(text)
    repo, tag = (match["name"], match["tag"]) if match else (text, None)
    if not _REPO.fullmatch(repo):
        raise _unknown(text, catalog)
    if offline or (offline is None and is_offline()):
        raise NotDownloaded(
            f"{repo} is not in the catalogue, and offline nobody can be asked about it",
            hint="give the path of a .gguf file, go online, or choose a model from: edgelfm models",
        )
    if hub is None:
        from . import hub as default_hub

        hub = default_hub
    try:
        entry = entry_in(hub, repo, tag, catalog)
    except RemoteFileMissing as missing:
        raise _unknown(text, catalog) from missing
    return with_quantization(entry, tag) if tag else entry


def _without_link(text: str) -> str:
    """`https://huggingface.co/owner/name/tree/main` as `owner/name`; a link to one GGUF file as `owner/name:Q4_0`."""
    match = _LINK.fullmatch(text)
    if not match:
        return text
    parts = match["rest"].split("?")[0].strip("/").split("/")
    repo = "/".join(parts[:2])
    file = _SUFFIXED.fullmatch(parts[-1].removesuffix(".gguf")) if parts[-1].endswith(".gguf") else None
    return f"{repo}:{file['tag']}" if file else repo


def _unknown(text: str, catalog: Catalog) -> UnknownModel:
    near = catalog.suggestions(text)
    where = "in the catalogue or on the Hub" if "/" in text else "in the catalogue"
    hint = f"did you mean {' or '.join(near)}?" if near else "list the models with: edgelfm models"
    return UnknownModel(f"no model {text!r} {where}", hint=hint)
