"""A repository of the Hub that the catalogue does not know: what it holds, told from its file list and one header."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from ..errors import ModelFileError, UnknownQuantization
from .bytesource import HubBytes
from .catalog import Catalog
from .contents import is_pattern, matching
from .entry import Artifact, File, ModelEntry
from .from_config import MAX_CONFIG_BYTES, Config
from .from_header import entry_of, quantization_in
from .gguf import read_header
from .local import is_main_gguf, projector_for
from .plain import entry_from_config

#: Which file's header is read when nobody asked for a quantization; any other comes after, smallest first.
_PREFERRED = ("Q4_K_M", "Q4_0", "Q8_0")


class RemoteFile(Protocol):
    """One line of a repository's file list."""

    @property
    def name(self) -> str:
        """Path inside the repository."""
        ...

    @property
    def bytes(self) -> int | None:
        """Size, where the hub tells it."""
        ...

    @property
    def sha256(self) -> str | None:
        """Hash of the content, where the hub tells it."""
        ...


class Hub(Protocol):
    """The part of a hub that names need."""

    def list_files(self, repo: str, revision: str = "main") -> Sequence[RemoteFile]:
        """Every file of a repository. Raises `RemoteFileMissing` if there is no such repository."""
        ...

    def read_range(self, repo: str, filename: str, start: int, length: int, revision: str = "main") -> bytes:
        """Up to `length` bytes of a file from `start`."""
        ...


def entry_in(hub: Hub, repo: str, quantization: str | None, catalog: Catalog) -> ModelEntry:
    """The model in a repository. Reads one header, of `quantization` if given, and downloads nothing.

    Raises `ModelFileError` if the repository holds nothing edgelfm can run, `UnknownQuantization`, and the hub's own
    errors.
    """
    files = {file.name: file for file in hub.list_files(repo)}
    models = [file for name, file in files.items() if is_main_gguf(name.rpartition("/")[2])]
    if models:
        return _gguf(hub, repo, quantization, models, files, catalog)
    weights = [file for name, file in files.items() if name.endswith(".safetensors")]
    if "config.json" not in files or not weights:
        raise ModelFileError(
            f"{repo}: holds neither .gguf files nor a config.json with .safetensors",
            hint=f"look for a GGUF conversion, usually named {repo.partition('/')[2]}-GGUF",
        )
    size = files["config.json"].bytes or MAX_CONFIG_BYTES
    text = hub.read_range(repo, "config.json", 0, min(size, MAX_CONFIG_BYTES))
    config = Config(text, f"{repo}/config.json")
    listed = tuple(File(file.name, bytes=file.bytes, sha256=file.sha256) for file in weights)
    artifact = Artifact(config.backend, config.quantization, repo, listed)
    return entry_from_config(config, repo.partition("/")[2], artifact, catalog)


def complete(hub: Hub, artifact: Artifact) -> Artifact:
    """`artifact` with the sizes and hashes that the hub lists, and with the projector that lies beside its weights.

    For cards that do not know a projector's exact name. Files the hub does not list stay as they are. Raises the hub's
    errors.
    """
    listed = {file.name: file for file in hub.list_files(artifact.repo, artifact.revision)}
    files = [file for file in artifact.files if not is_pattern(file)]
    for pattern in filter(is_pattern, artifact.files):
        there = {file.name for file in files}
        files += [File(name, pattern.role) for name in matching(pattern, listed) if name not in there]
    weights = artifact.file("weights")
    if weights is not None and artifact.file("projector") is None:
        projector = projector_for(weights.name, list(listed))
        files += [File(projector, "projector")] if projector else []
    known = [(file, listed.get(file.name)) for file in files]
    return replace(
        artifact,
        files=tuple(
            replace(file, bytes=on.bytes, sha256=on.sha256 or file.sha256) if on else file for file, on in known
        ),
    )


def _gguf(
    hub: Hub,
    repo: str,
    quantization: str | None,
    models: Sequence[RemoteFile],
    files: dict[str, RemoteFile],
    catalog: Catalog,
) -> ModelEntry:
    named = {file.name: quantization_in(file.name) or "" for file in models}
    chosen = _choose(repo, quantization, models, named)
    header = read_header(HubBytes(hub, repo, chosen.name, chosen.bytes))
    entry = entry_of(header, chosen.name, catalog, artifact=_artifact(repo, chosen, "", files))
    read = replace(entry.artifacts[0], quantization=named[chosen.name] or entry.artifacts[0].quantization)
    # The other files are sized from the architecture: reading each header would cost some 2 MiB apiece.
    others = [
        _artifact(repo, file, named[file.name], files) for file in models if file is not chosen and named[file.name]
    ]
    modalities = entry.modalities
    if read.file("projector"):
        modalities = tuple(dict.fromkeys((*modalities, "image")))
    return replace(entry, repo=repo, artifacts=(read, *others), modalities=modalities)


def _choose(repo: str, quantization: str | None, models: Sequence[RemoteFile], named: dict[str, str]) -> RemoteFile:
    by_size = sorted(models, key=lambda file: file.bytes or 0)
    wanted = (quantization.upper(),) if quantization else _PREFERRED
    for name in wanted:
        for file in by_size:
            if named[file.name].upper() == name:
                return file
    if quantization:
        published = ", ".join(dict.fromkeys(name for name in named.values() if name))
        raise UnknownQuantization(f"{repo} holds no {quantization}", hint=f"choose one of: {published or 'none'}")
    return by_size[0]


def _artifact(repo: str, file: RemoteFile, quantization: str, files: dict[str, RemoteFile]) -> Artifact:
    found = [File(file.name, bytes=file.bytes, sha256=file.sha256)]
    projector = projector_for(file.name.rpartition("/")[2], list(files))
    if projector:
        beside = files[projector]
        found.append(File(projector, "projector", beside.bytes, beside.sha256))
    return Artifact("llama.cpp", quantization, repo, tuple(found))
