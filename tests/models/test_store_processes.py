"""Several processes at one cache, and processes that are interrupted: real ones, and a server that waits for them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgelfm.models import store
from edgelfm.models.entry import Artifact, File, License
from tests.local_hub import LocalHub

REPO = "acme/tiny-GGUF"
NAME = "tiny-F16.gguf"
ARTIFACT = Artifact("llama.cpp", "F16", REPO, (File(NAME),))
FREE = License("apache-2.0", "Apache License 2.0", "", "Free.", False)
HELD_AT = 200_000

CHILD = f"""
from edgelfm.models import store
from edgelfm.models.entry import Artifact, File, License

def show(now):
    print(now.note or now.bytes_done, flush=True)

artifact = Artifact("llama.cpp", "F16", {REPO!r}, (File({NAME!r}),))
terms = License("apache-2.0", "Apache License 2.0", "", "Free.", False)
print(store.fetch(artifact, license=terms, progress=show)["weights"], flush=True)
"""


@pytest.fixture
def content(hub: LocalHub, tiny_path: Path) -> bytes:
    content = tiny_path.read_bytes()
    hub.put(REPO, NAME, content)
    hub.fault("storage", hold_after=HELD_AT)
    return content


class Children:
    """Processes that fetch the same file."""

    def __init__(self) -> None:
        self.running: list[subprocess.Popen[str]] = []

    def start(self) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.running.append(child)
        return child


@pytest.fixture
def children() -> Iterator[Children]:
    children = Children()
    yield children
    for child in children.running:
        child.kill()
        child.communicate()


def read_until(child: subprocess.Popen[str], wanted: str) -> None:
    """Read lines of the child until one holds `wanted`."""
    assert child.stdout is not None
    for line in child.stdout:
        if wanted in line:
            return
    assert child.stderr is not None
    pytest.fail(f"the child ended without {wanted!r}: {child.stderr.read()}")


def partial_bytes(tmp_path: Path) -> int:
    return sum(path.stat().st_size for path in (tmp_path / "cache").glob("*/blobs/*.incomplete"))


def wait_for_bytes(child: subprocess.Popen[str], tmp_path: Path) -> None:
    """Until the child has written what the server has sent so far."""
    while partial_bytes(tmp_path) < HELD_AT:
        assert child.poll() is None


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_download_is_taken_up_by_the_next(hub, content: bytes, children, tmp_path: Path, by):
    child = children.start()
    assert hub.holding.wait(30)
    wait_for_bytes(child, tmp_path)
    child.send_signal(by)
    _, said = child.communicate(timeout=30)
    assert child.returncode != 0
    assert ("KeyboardInterrupt" in said) == (by == signal.SIGINT)
    assert partial_bytes(tmp_path) == HELD_AT
    path = store.fetch(ARTIFACT, license=FREE, progress=False)["weights"]  # would hang here if a lock were left
    assert path.read_bytes() == content
    assert [request.range for request in hub.requests("GET", "storage")] == [None, f"bytes={HELD_AT}-"]


def test_two_processes_download_a_file_once(hub: LocalHub, content: bytes, children: Children):
    first = children.start()
    assert hub.holding.wait(30)
    second = children.start()
    read_until(second, f"another process is downloading {NAME}")
    hub.go.set()
    paths = []
    for child in (first, second):
        out, err = child.communicate(timeout=30)
        assert child.returncode == 0, err
        paths.append(Path(out.splitlines()[-1]))
    assert paths[0] == paths[1]
    assert paths[0].read_bytes() == content
    assert [request.range for request in hub.requests("GET", "storage")] == [None]
    assert hub.served == len(content)


def test_the_one_that_waits_goes_on_when_the_other_is_killed(hub: LocalHub, content: bytes, children, tmp_path: Path):
    first = children.start()
    assert hub.holding.wait(30)
    second = children.start()
    read_until(second, f"another process is downloading {NAME}")
    wait_for_bytes(first, tmp_path)
    first.kill()
    out, err = second.communicate(timeout=30)
    assert second.returncode == 0, err
    assert Path(out.splitlines()[-1]).read_bytes() == content
    assert [request.range for request in hub.requests("GET", "storage")] == [None, f"bytes={HELD_AT}-"]


def test_the_cache_folder_is_the_one_that_huggingface_hub_uses(hub: LocalHub):
    script = """
import importlib, os
from pathlib import Path
from huggingface_hub import constants
from edgelfm.hardware import disk
from edgelfm.models.hub_settings import hub_cache

names = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")
for values in ({}, {"HF_HOME": "/a"}, {"XDG_CACHE_HOME": "/b"}, {"HF_HUB_CACHE": "~/c", "HF_HOME": "/a"},
               {"HUGGINGFACE_HUB_CACHE": "/d"}, {"HF_HOME": "~/e", "XDG_CACHE_HOME": "/b"}):
    for name in names:
        os.environ.pop(name, None)
    os.environ.update(values)
    importlib.reload(constants)
    assert hub_cache() == Path(constants.HF_HUB_CACHE) == Path(disk.hub_cache(os.environ)), values
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
