"""What another runtime must be able to do, and the `Runner` that this makes of it.

One module a runtime; `python -m` of it serves the runner from a process of its own, with the environment that people
who use that runtime have.
"""

from __future__ import annotations

import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ...errors import BackendError
from ..child import serve
from ..protocol import ANSWER, FirstToken, prompt_ids
from ..report import Subject


@dataclass(frozen=True, slots=True)
class Task:
    """What a peer is given. Made by `find`, sent as JSON."""

    weights: str  # a GGUF file, or the folder made of it for this runtime
    context: int  # tokens it must be able to hold
    model: str  # names, for the report
    quantization: str
    license: str
    sha256: str  # of the file
    settings: Mapping[str, Any]  # of the candidate: threads, batch, …


@dataclass(frozen=True, slots=True)
class Written:
    """Seconds of one answer, by `time.perf_counter`."""

    first: float  # from the call until its first token had been sampled
    rest: float  # from there until the last


class Peer(ABC):
    """One runtime with one model. `open` may take long, the constructor may not."""

    name: ClassVar[str]
    #: Whether it goes on by itself from what the last prompt left, so that asking for a first token is a question.
    remembers: ClassVar[bool] = False

    def __init__(self, task: Task) -> None:
        self.task = task

    @abstractmethod
    def prepare(self) -> None:
        """Import the library. Not a part of loading."""

    @abstractmethod
    def open(self) -> None:
        """Load the model until it takes a prompt."""

    @abstractmethod
    def close(self) -> None:
        """Free it."""

    @abstractmethod
    def tokenize(self, text: str) -> Sequence[int]:
        """Without special tokens."""

    @property
    @abstractmethod
    def bos(self) -> Sequence[int]:
        """The token that begins a text, if there is one."""

    @abstractmethod
    def write(self, prompt: list[int], tokens: int) -> Written:
        """Write exactly `tokens` after `prompt`, greedily; end-of-text must not end it."""

    @abstractmethod
    def version(self) -> str:
        """Name and version of what runs."""

    @abstractmethod
    def settings(self) -> Mapping[str, object]:
        """What matters for speed, as it was opened."""

    def forget(self) -> None:  # noqa: B027  (most have nothing to forget)
        """Begin from nothing the next time. Only of one that `remembers`."""

    def quantization(self) -> str:
        """In the runtime's own words."""
        return self.task.quantization

    def note(self) -> str:
        """What is not comparable."""
        return ""


class PeerRunner:
    """A peer as a `Runner`. The texts are those that edgelfm reads, in the same order."""

    def __init__(self, peer: Peer) -> None:
        self.name = peer.name
        self.load_seconds: float | None = None
        self.pid: int | None = None
        self.bytes_per_token: int | None = None
        self._peer, self._seed = peer, 0

    def start(self) -> Subject:
        """See `Runner`."""
        peer, task = self._peer, self._peer.task
        self.pid = os.getpid()
        peer.prepare()
        begun = time.perf_counter()
        peer.open()
        self.load_seconds = time.perf_counter() - begun
        shown = peer.settings()
        threads = shown.get("threads")
        return Subject(
            name=peer.name,
            version=peer.version(),
            model=task.model,
            quantization=peer.quantization(),
            file_bytes=_bytes(Path(task.weights)),
            sha256=task.sha256 if Path(task.weights).is_file() else "",
            settings=tuple((name, str(value)) for name, value in shown.items()),
            threads=threads if isinstance(threads, int) else None,
            note=peer.note(),
            license=task.license,
        )

    def prefill(self, tokens: int) -> float:
        """See `Runner`."""
        return self._fresh(self._prompt(tokens), 1).first

    def decode(self, depth: int, tokens: int) -> float:
        """See `Runner`."""
        return self._fresh(self._prompt(depth), tokens + 1).rest

    def first_token(self, kind: FirstToken, history: int, question: int) -> float | None:
        """See `Runner`."""
        said = self._prompt(history)
        first, second = self._prompt(question, begins=False), self._prompt(question, begins=False)
        if kind == "first_token_cold":
            return self._fresh([*said, *second], 1).first
        if not self._peer.remembers:
            return None
        self._fresh(said, 1)
        if kind == "first_token_after_edit":
            self._peer.write([*said, *first], ANSWER)
        return self._peer.write([*said, *second], 1).first

    def stop(self) -> None:
        """See `Runner`."""
        self._peer.close()
        self.pid = None

    def _fresh(self, prompt: list[int], tokens: int) -> Written:
        self._peer.forget()
        return self._peer.write(prompt, tokens)

    def _prompt(self, tokens: int, *, begins: bool = True) -> list[int]:
        self._seed += 1
        return prompt_ids(self._peer.tokenize, self._seed, tokens, self._peer.bos if begins else ())


class FolderPeer(Peer):
    """One that reads a folder that `conversion` wrote, by its tokenizer.json. Its model is freed when it is let go."""

    def prepare(self) -> None:
        """See `Peer`. A runtime adds its own imports."""
        from tokenizers import Tokenizer

        folder = Path(self.task.weights)
        self._model: Any = None
        self._tokenizer_json = Tokenizer.from_file(str(folder / "tokenizer.json"))
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        token = self._tokenizer_json.token_to_id(config.get("bos_token") or "")
        self._bos: tuple[int, ...] = () if token is None else (token,)

    def close(self) -> None:
        """See `Peer`."""
        self._model = None

    def tokenize(self, text: str) -> Sequence[int]:
        """See `Peer`."""
        return list(self._tokenizer_json.encode(text, add_special_tokens=False).ids)

    @property
    def bos(self) -> Sequence[int]:
        """See `Peer`."""
        return self._bos


def require_count(peer: Peer, written: int, tokens: int) -> None:
    """Refuse a figure of fewer tokens than were asked for. Raises `BackendError`."""
    if written != tokens:
        raise BackendError(f"{peer.name} wrote {written} tokens instead of {tokens}")


def serve_peer(kind: Callable[[Task], Peer]) -> None:
    """For the `if __name__ == "__main__"` of a runtime's module."""
    serve(lambda options: PeerRunner(kind(Task(**options))))


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
