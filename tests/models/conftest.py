"""Real files for the models' room: the starter, a tiny LFM2, and a hub that is a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgelfm.errors import RemoteFileMissing
from edgelfm.models.catalog import Catalog, load
from edgelfm.models.hub_settings import Patience
from tests.local_hub import LocalHub


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


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """A Hub on loopback, an empty cache, no token and no licence shown yet: all by environment, as people set them."""
    import huggingface_hub

    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.delenv("EDGELFM_ACCEPT_LICENSE", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("EDGELFM_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    monkeypatch.delenv("HF_TOKEN_PATH", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    with LocalHub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        yield running
        huggingface_hub.close_session()


@pytest.fixture
def brief() -> Patience:
    """Waits of hundredths of a second, so that the tests of retries are quick."""
    return Patience(connect=2, stall=0.3, attempts=4, first_wait=0.01, longest_wait=0.02, longest_retry_after=5)
