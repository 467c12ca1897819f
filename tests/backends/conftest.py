"""Real models for the backends: a tiny LFM2 with random weights, and the starter, which really chats."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgelfm.backends.llama_cpp.loading import load
from edgelfm.backends.llama_cpp.session import LlamaSession
from edgelfm.decision import Decision
from edgelfm.planning.plan import Settings
from tests.tiny_folder import write_tiny_lfm2_folder, write_tiny_llama_folder

Open = Callable[..., LlamaSession]


def settings(
    *,
    context: int = 1024,
    micro_batch: int = 64,
    kv_type: str = "f16",
    mmap: bool = False,
    threads: int = 1,
    state_bytes: int = 64 * 1024**2,
) -> Settings:
    """Settings as a plan would give them."""
    values = (context, micro_batch, micro_batch, kv_type, True, mmap, threads, threads, 0, state_bytes)
    return Settings(*[Decision(value, "for the test") for value in values])


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of `tiny_path`, as a folder in 32 bits: what the other runtimes read."""
    return write_tiny_lfm2_folder(tmp_path_factory.mktemp("folders") / "tiny-lfm2")


@pytest.fixture(scope="session")
def tiny_llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A llama as small, in which every layer attends."""
    return write_tiny_llama_folder(tmp_path_factory.mktemp("folders") / "tiny-llama")


@pytest.fixture
def open_session() -> Iterator[Open]:
    """Opens sessions and closes them after the test."""
    opened: list[LlamaSession] = []

    def open_(path: Path, **given: object) -> LlamaSession:
        opened.append(LlamaSession(load(path, settings(**given))))
        return opened[-1]

    yield open_
    for session in opened:
        session.close()
