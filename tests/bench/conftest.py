"""A tiny LFM2 planned for benchmarking, a runtime that is made up, and a gate that never waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import edgelfm
from edgelfm.backends.base import Session
from edgelfm.backends.registry import get
from edgelfm.bench.protocol import FirstToken
from edgelfm.bench.report import Subject
from edgelfm.errors import BackendError
from edgelfm.models.entry import Role
from edgelfm.planning.plan import Candidate


@dataclass
class Scripted:
    """A runtime that takes the times it is told to, and keeps a diary of what it was asked."""

    name: str
    diary: list[str] = field(default_factory=list)
    breaks_at: str = ""  # raises `error` when the diary's entry of that name comes
    error: BaseException | None = None
    load_seconds: float | None = 0.25
    pid: int | None = None
    bytes_per_token: int | None = 1000

    def start(self) -> Subject:
        self._note("start")
        return Subject(self.name, "1.0", "tiny", "F16", 1000, "", (), 2)

    def prefill(self, tokens: int) -> float:
        self._note("prefill")
        return tokens / 1000

    def decode(self, depth: int, tokens: int) -> float:
        self._note(f"decode {depth}")
        return tokens / 50

    def first_token(self, kind: FirstToken, history: int, question: int) -> float | None:
        self._note(kind)
        return None if kind == "first_token_after_edit" else (history + question) / 1000

    def stop(self) -> None:
        self.diary.append(f"{self.name}: stop")

    def _note(self, what: str) -> None:
        self.diary.append(f"{self.name}: {what}")
        if what == self.breaks_at and self.error is not None:
            raise self.error


@pytest.fixture
def scripted() -> type[Scripted]:
    """Makes such a runtime."""
    return Scripted


@pytest.fixture
def broken(scripted: type[Scripted]) -> Scripted:
    """A runtime that loads, and fails when it is to decode."""
    return scripted("broken", breaks_at="decode 128", error=BackendError("no kernel for this", hint="update it"))


@pytest.fixture
def tiny(tiny_path: Path) -> Candidate:
    """The plan for the tiny model, with a context large enough for a quick benchmark."""
    chosen = edgelfm.plan(tiny_path, context=512, threads=1).chosen
    assert chosen is not None
    return chosen


@pytest.fixture
def tiny_files(tiny_path: Path) -> Mapping[Role, Path]:
    return {"weights": tiny_path}


@pytest.fixture
def session(tiny: Candidate, tiny_files: Mapping[Role, Path]) -> Iterator[Session]:
    opened = get(tiny.backend)(tiny, tiny_files)
    yield opened
    opened.close()


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[Mapping[str, str | int]], Path]:
    """Writes files under one root and returns it; called again it changes them."""

    def write(files: Mapping[str, str | int]) -> Path:
        for name, content in files.items():
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n", encoding="utf-8")
        return tmp_path / "root"

    return write
