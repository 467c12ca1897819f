"""From an artifact to files on this disk: already here, inside a Python package, or fetched from the Hub and checked.

    files = store.fetch(artifact, license=entry.license)     # {"weights": Path(...), "projector": Path(...)}
    store.find(artifact)                                     # the same without asking anybody, or None

A file that is here is taken without asking the Hub, so a second start needs no network. The steps of a download are in
this order: ask the Hub what there is, check the disk, show the licence, fetch, check every byte, and only then let the
files appear in the cache under their names. This module opens no model and reads no more of one than its header.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ..errors import HashMismatch, ModelFileError, NotDownloaded, RemoteFileMissing, StoreError
from . import hub, license_notice
from .contents import folder_is_whole, folder_of, in_folder, is_pattern, names_of
from .disk_room import check_room, disk_error
from .download import download
from .entry import Artifact, License, Role
from .gguf import read_header
from .hub import RemoteFile
from .hub_cache import RepoFolder
from .hub_settings import HubSettings, Patience, hub_cache, read_settings
from .packaged import PACKAGE, packaged_file
from .progress import Meter, Show

Files = dict[Role, Path]


def fetch(
    artifact: Artifact,
    *,
    license: License,
    offline: bool | None = None,
    progress: bool | Show = True,
    refresh: bool = False,
    cache: str | Path | None = None,
    token: str | None = None,
    patience: Patience | None = None,
) -> Files:
    """The files of `artifact` by role; of a folder, its path. Downloads what is missing and checks what it downloads.

    `progress` is a bar, nothing, or a function that is given a `Downloading`. `refresh=True` asks the Hub for a newer
    commit even if the files are here. `cache`, `token` and `offline` default to `HF_HUB_CACHE` or `HF_HOME`, `HF_TOKEN`
    and `HF_HUB_OFFLINE`, read now; `HF_ENDPOINT` names the hub. An artifact named by a branch follows the Hub if its
    files are published anew there; one named by a commit must have the catalogue's sha256.

    Raises `NotDownloaded` naming each missing file when offline, `NoDiskSpace` before or during the download,
    `RemoteFileMissing`, `AccessDenied`, `DownloadFailed`, `HashMismatch`, `LicenseNotAccepted`, and `ModelFileError`
    for a GGUF file that is truncated or corrupt.
    """
    if artifact.path:
        return _sound(_local(artifact))
    if artifact.repo.startswith(PACKAGE):
        return _sound({file.role: packaged_file(artifact.repo, file) for file in reversed(artifact.files)})
    settings = read_settings(offline=offline, cache=cache, token=token, patience=patience)
    found = None if refresh and not settings.offline else find(artifact, cache=settings.cache)
    if found is not None:
        return _sound(found)
    if settings.offline:
        raise _not_downloaded(artifact, settings)
    return _from_hub(artifact, license, settings, progress)


def find(artifact: Artifact, *, cache: str | Path | None = None) -> Files | None:
    """The files of `artifact` if all of them are on this disk. Asks nobody and takes well under a millisecond."""
    if artifact.path:
        try:
            return _local(artifact)
        except NotDownloaded:
            return None
    if artifact.repo.startswith(PACKAGE):
        try:
            return {file.role: packaged_file(artifact.repo, file) for file in reversed(artifact.files)}
        except NotDownloaded:
            return None
    folder = RepoFolder(Path(cache) if cache else hub_cache(), artifact.repo)
    commit = folder.commit_of(artifact.revision)
    if commit is None:
        return None
    snapshot = folder.snapshot(commit)
    inside = folder_of(artifact)
    if inside is not None:
        return _folder_roles(artifact, snapshot) if folder_is_whole(snapshot / inside) else None
    return _roles(artifact, snapshot) if all((snapshot / name).is_file() for name in names_of(artifact)) else None


def _from_hub(artifact: Artifact, license: License, settings: HubSettings, progress: bool | Show) -> Files:
    remotes = _describe(artifact, settings)
    folder = RepoFolder(settings.cache, artifact.repo)
    commit = remotes[0].commit
    hashes = _hashes(artifact, remotes)
    absent = [remote for remote in remotes if not (folder.snapshot(commit) / remote.name).is_file()]
    missing = {remote.etag: _missing_bytes(folder, remote) for remote in absent}
    check_room([remote.name for remote in absent if missing[remote.etag]], sum(missing.values()), settings.cache)
    license_notice.show_once(license, artifact.repo)
    try:
        _bring(absent, hashes, folder, settings, progress)
        # All of them appear only now, so a folder that was cut short is never taken for a whole one.
        # Those that are asked for by name come last: that they are there then says that all are.
        named = names_of(artifact)
        for remote in sorted(absent, key=lambda remote: remote.name in named):
            folder.show(commit, remote.name, remote.etag)
        folder.remember(artifact.revision, commit)
    except StoreError:
        raise
    except OSError as failure:
        raise disk_error(failure, folder.root, 0) from failure
    snapshot = folder.snapshot(commit)
    if folder_of(artifact) is not None:
        return _folder_roles(artifact, snapshot)
    return _roles(artifact, snapshot)


def _bring(
    absent: list[RemoteFile], hashes: dict[str, str], folder: RepoFolder, settings: HubSettings, progress: bool | Show
) -> None:
    total = sum({remote.etag: remote.bytes or 0 for remote in absent}.values())
    with Meter(progress, files=len(absent), bytes_total=total) as meter:
        # The largest last: what fails is then more likely to fail before hours have gone by.
        for remote in sorted(absent, key=lambda remote: remote.bytes or 0):
            blob = download(remote, folder, settings, meter, sha256=hashes.get(remote.name))
            if remote.name.endswith(".gguf"):
                _check_new(blob, remote)


def _describe(artifact: Artifact, settings: HubSettings) -> list[RemoteFile]:
    """What the Hub holds for each file, all of one commit."""
    inside = folder_of(artifact)
    listed: list[str] = []
    if inside is not None or any(map(is_pattern, artifact.files)):
        found = hub.list_files(artifact.repo, artifact.revision, settings=settings)
        listed = [file.name for file in found]
    if inside is None:
        names = names_of(artifact, listed)
    else:
        names = in_folder(listed, inside)
        if not names:
            raise RemoteFileMissing(
                f"{artifact.repo} has no folder {inside or '/'}",
                hint=f"see {settings.endpoint}/{artifact.repo}/tree/{artifact.revision}",
            )
    first = hub.describe(artifact.repo, names[0], artifact.revision, settings=settings)
    return [first, *(hub.describe(artifact.repo, name, first.commit, settings=settings) for name in names[1:])]


def _hashes(artifact: Artifact, remotes: list[RemoteFile]) -> dict[str, str]:
    """The catalogue's sha256 by file name, where it may be held against what the Hub says now."""
    known = {file.name: file.sha256 for file in artifact.files if file.sha256}
    for remote in remotes:
        sha256 = known.get(remote.name)
        if sha256 is None or remote.sha256 in (None, sha256):
            continue
        if artifact.revision == remote.commit:
            raise HashMismatch(
                f"{remote.repo}/{remote.name}: at commit {remote.commit} the Hub announces sha256 {remote.sha256}, and "
                f"the catalogue knows {sha256}. Nothing was downloaded",
                hint="a commit never changes, so one of the two is wrong: compare with the repository's page",
            )
        print(
            f"{remote.repo}/{remote.name} was published anew since this version of edgelfm was made; "
            "it is checked against the sha256 that the Hub publishes now.",
            file=sys.stderr,
        )
    return known


def _missing_bytes(folder: RepoFolder, remote: RemoteFile) -> int:
    if folder.blob(remote.etag).exists():
        return 0
    try:
        arrived = folder.partial(remote.etag).stat().st_size
    except OSError:
        arrived = 0
    return max(0, (remote.bytes or 0) - arrived)


def _check_new(blob: Path, remote: RemoteFile) -> None:
    try:
        read_header(blob)
    except ModelFileError as broken:
        blob.unlink()
        reason = broken.message.removeprefix(f"{blob}: ")
        raise ModelFileError(
            f"{remote.repo}/{remote.name}: {reason}. It was deleted again",
            hint="these are the bytes that were published; choose another quantization, or tell the repository's owner",
        ) from broken


def _sound(files: Files) -> Files:
    """`files`, after a look at the header and length of every GGUF file among them."""
    for path in files.values():
        if path.suffix == ".gguf":
            try:
                read_header(path)
            except ModelFileError as broken:
                raise ModelFileError(
                    broken.message, hint=f"delete it and fetch it again: rm {path.resolve()}"
                ) from broken
    return files


def _local(artifact: Artifact) -> Files:
    path = Path(artifact.path)
    if not path.exists():
        raise NotDownloaded(f"{path} is not there any more", hint="check the path")
    if folder_of(artifact) is not None or not artifact.files:
        return {"weights": path}
    base = path if path.is_dir() else path.parent
    files = _roles(artifact, base)
    if path.is_file():
        files["weights"] = path
    for place in files.values():
        if not place.exists():
            raise NotDownloaded(f"{place} is not there", hint=f"it belongs to {path}; put it beside it")
    return files


def _roles(artifact: Artifact, folder: Path) -> Files:
    """The first file of each role. Configuration is found beside the weights by those who look for it."""
    named = (file for file in reversed(artifact.files) if file.role != "config" and not is_pattern(file))
    return {file.role: folder / file.name for file in named}


def _folder_roles(artifact: Artifact, snapshot: Path) -> Files:
    return {"weights": snapshot / (folder_of(artifact) or "")}


def _not_downloaded(artifact: Artifact, settings: HubSettings) -> NotDownloaded:
    folder = RepoFolder(settings.cache, artifact.repo)
    snapshot = folder.snapshot(folder.commit_of(artifact.revision) or "none")
    inside = folder_of(artifact)
    if inside is not None:
        names = [f"{inside or 'all files'}"]
    else:
        names = [name for name in names_of(artifact) if not (snapshot / name).is_file()]
    backend = "" if artifact.backend == "llama.cpp" else f" --backend {artifact.backend}"
    command = f"edgelfm pull {artifact.repo} --quantization {artifact.quantization}{backend}"
    return NotDownloaded(
        f"offline, and {len(names)} {'file is' if len(names) == 1 else 'files are'} not in {settings.cache}: "
        + ", ".join(f"{artifact.repo}/{name}" for name in names),
        hint=f"when online: {command}",
    )
