"""edgelfm itself as a `Runner`: what people get who stream a reply. In a process of its own, or on an open model."""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import pickle
import random
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backends.base import Session, Timings
from ..backends.cancel import Cancel
from ..backends.endless import never_ending, one_token
from ..errors import BackendError
from ..models.entry import Role, Sampling
from .child import Child, serve
from .limits import bytes_per_token
from .protocol import ANSWER, FirstToken, prompt_ids
from .report import Subject

if TYPE_CHECKING:
    from ..planning.plan import Candidate

NAME = "edgelfm"
_PACKAGES = {"llama.cpp": "llama-cpp-python", "mlx": "mlx-lm"}


def child(candidate: Candidate, files: Mapping[Role, Path]) -> Child:
    """A runner that opens `candidate` in a process of its own, exactly as planned here."""
    packed = base64.b64encode(pickle.dumps((candidate, dict(files), sha256_of(files["weights"])))).decode("ascii")
    return Child(NAME, "edgelfm.bench.own", {"packed": packed}, bytes_per_token=bytes_per_token(candidate))


class OwnRunner:
    """Measures `session`, or opens the candidate first and closes it afterwards if there is no session yet.

    Of an open session the states of its conversations are parked and come back; those of the measurements are not kept.
    """

    def __init__(
        self, candidate: Candidate, files: Mapping[Role, Path], sha256: str = "", *, session: Session | None = None
    ) -> None:
        self.name = NAME
        self.load_seconds: float | None = None
        self.pid: int | None = None
        self.bytes_per_token = bytes_per_token(candidate)
        self._candidate, self._files, self._sha256 = candidate, files, sha256
        self._given, self._open = session, session
        self._bias: dict[int, float] = {}
        # Where a session goes on from one repetition to the next, no prompt may begin as an earlier one did.
        self._seed = random.randrange(1 << 30) if session is not None else 0

    def start(self) -> Subject:
        """Open the model unless it is open."""
        self.pid = os.getpid()
        if self._given is None:
            from ..backends import registry

            self.stop()
            backend = registry.get(self._candidate.backend)
            begun = time.perf_counter()
            self._open = backend(self._candidate, self._files)
            self.load_seconds = time.perf_counter() - begun
        self._bias = never_ending(self._session)
        return subject(self._candidate, self._files, self._sha256)

    def prefill(self, tokens: int) -> float:
        """See `Runner`."""
        timings = self._run(self._prompt(tokens), 1)
        # With the first sample, because a runtime that computes lazily has done nothing before it.
        return timings.first_token_seconds

    def decode(self, depth: int, tokens: int) -> float:
        """See `Runner`."""
        timings = self._run(self._prompt(depth), tokens + 1)
        return timings.decode_seconds

    def first_token(self, kind: FirstToken, history: int, question: int) -> float | None:
        """See `Runner`."""
        said, first, second = (
            self._prompt(history),
            self._prompt(question, bos=False),
            self._prompt(question, bos=False),
        )
        if kind != "first_token_cold":
            self._run(said, 1)
        if kind == "first_token_after_edit":
            self._run([*said, *first], ANSWER, cached=1)
        return self._run([*said, *second], 1, cached=0 if kind == "first_token_cold" else 1).first_token_seconds

    def stop(self) -> None:
        """Close the model if it was opened here."""
        if self._given is None and self._open is not None:
            self._open.close()
            self._open = None
        self.pid = None

    @property
    def _session(self) -> Session:
        if self._open is None:
            raise BackendError(f"{self.name} is not running")
        return self._open

    def _prompt(self, tokens: int, *, bos: bool = True) -> list[int]:
        session = self._session
        self._seed += 1
        text = session.special_tokens().get("bos_token", "") if bos else ""
        return prompt_ids(
            lambda passage: session.tokenize(passage, special=False), self._seed, tokens, one_token(session, text)
        )

    def _run(self, prompt: list[int], tokens: int, *, cached: int = 0) -> Timings:
        """Stream as `Model.stream` does, to exactly `tokens`. Without `cached` the state must be fresh."""
        from ..chat.stream import Stream

        cancel = Cancel()
        stream = Stream(
            self._session.generate(
                prompt, Sampling(), max_tokens=tokens, logit_bias=self._bias, keep=self._given is None, cancel=cancel
            ),
            cancel,
            context=self._session.context,
            model=self._candidate.model.id,
        )
        with stream:
            for _ in stream:
                pass
        timings = stream.reply.timings
        if timings.completion_tokens != tokens:
            raise BackendError(f"{self.name} wrote {timings.completion_tokens} tokens instead of {tokens}")
        if not cached and timings.cached_tokens > _SHARED:
            raise BackendError(f"the state was not fresh: {timings.cached_tokens} tokens were in it already")
        return timings


#: Tokens that two prompts may have in common by the way they are made: BOS and a word.
_SHARED = 4


def subject(candidate: Candidate, files: Mapping[Role, Path], sha256: str = "") -> Subject:
    """What runs and how it is opened."""
    settings, weights = candidate.settings, files.get("weights")
    package = _PACKAGES.get(candidate.backend, candidate.backend)
    try:
        build = f"{package} {version(package)}"
    except PackageNotFoundError:
        build = candidate.backend
    from .. import __version__

    return Subject(
        name=NAME,
        version=f"{__version__} with {build}",
        model=candidate.model.name,
        quantization=candidate.quantization,
        file_bytes=weights.stat().st_size if weights is not None and weights.is_file() else None,
        sha256=sha256,
        settings=(
            ("context", str(settings.context.value)),
            ("threads", str(settings.threads.value)),
            ("threads for prefill", str(settings.threads_prefill.value)),
            ("batch", str(settings.batch.value)),
            ("micro-batch", str(settings.micro_batch.value)),
            ("KV cache", settings.kv_type.value),
            ("flash attention", "on" if settings.flash_attention.value else "off"),
            ("mmap", "on" if settings.mmap.value else "off"),
            ("layers on GPU", str(settings.gpu_layers.value)),
        ),
        threads=settings.threads.value,
        license=", ".join(filter(None, (candidate.model.license.name, candidate.model.license.url))),
    )


@functools.lru_cache(maxsize=16)
def sha256_of(path: Path) -> str:
    """Of one file; empty for a folder."""
    if not path.is_file():
        return ""
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1024**2):
            whole.update(piece)
    return whole.hexdigest()


def _served(options: Mapping[str, Any]) -> OwnRunner:
    # From our own parent, through a pipe.
    candidate, files, sha256 = pickle.loads(base64.b64decode(options["packed"]))
    return OwnRunner(candidate, files, sha256)


if __name__ == "__main__":
    serve(_served)
