"""From what people type to one LoRA adapter: a folder, a file, or a repository of the Hub, which is fetched."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from ..errors import ModelFileError, NotDownloaded
from . import hub, store
from .entry import Artifact, File, License
from .hub_settings import read_settings
from .lora import CONFIG, WEIGHTS, Lora, read_lora

_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_LICENSE = License("unknown", "unknown", "", "edgelfm has not read it; see where the adapter came from.", False)


def find_adapter(name: str | Path, *, offline: bool | None = None) -> Lora:
    """The adapter that `name` means. One on the Hub is downloaded: some megabytes, of which a plan needs to know.

    Raises `ModelFileError` for what is no adapter, `NotDownloaded`, and the hub's own errors.
    """
    path = Path(name).expanduser()
    if path.exists() or not isinstance(name, str) or not _REPO.fullmatch(name):
        return read_lora(path)
    for weights in WEIGHTS.values():
        if (found := store.find(_artifact(name, weights))) is not None:
            return _of_the_hub(name, found["adapter"])
    if read_settings(offline=offline).offline:
        raise NotDownloaded(
            f"the adapter {name} is not on this disk", hint="go online once, or give the path of its folder"
        )
    there = {file.name for file in hub.list_files(name)}
    for weights in WEIGHTS.values():
        if {CONFIG, weights} <= there:
            files = store.fetch(_artifact(name, weights), license=_LICENSE, offline=offline, progress=False)
            return _of_the_hub(name, files["adapter"])
    raise ModelFileError(
        f"the repository {name} holds no adapter: {CONFIG} with {' or '.join(WEIGHTS.values())}",
        hint="if it is a model, load it by its name",
    )


def _of_the_hub(repo: str, weights: Path) -> Lora:
    """One whose folder has the name of a commit."""
    return replace(read_lora(weights.parent), repo=repo)


def _artifact(repo: str, weights: str) -> Artifact:
    return Artifact("lora", "", repo, (File(CONFIG, "config"), File(weights, "adapter")))
