"""The parts of torch and transformers that edgelfm uses, found once and quietly.

Both talk to people on their own account: log lines, progress bars, warnings. What is done inside `quiet()` says
nothing, and leaves their settings, which belong to the whole process, as they were.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ...errors import BackendError, BackendMissing

#: Turns of the waiting loop before a thread of GNU OpenMP gives its core back, as `llama_cpp.library` measured them.
_SPIN_COUNT = "10000"
_HINT = "pip install 'edgelfm[transformers]'"
#: Before it, a prompt that came to LFM2 in pieces was computed as if nothing stood before each piece.
_OLDEST = (5, 15)
#: Told how many of how many pieces are done. What it raises ends the work.
Step = Callable[[int, int], None]
_TALKERS = ("torch", "torch.utils._pytree", "torchao", "bitsandbytes")
_SETTINGS = threading.RLock()  # one at a time changes them


@dataclass(frozen=True, slots=True)
class Library:
    """Modules, and the few names of transformers that are used by name."""

    torch: ModuleType
    logging: ModuleType  # transformers.logging
    auto_config: Any  # AutoConfig
    causal_models: Any  # from the class of a configuration to that of its causal language model
    dynamic_cache: Any  # DynamicCache


@functools.cache
def library() -> Library:
    """Raises `BackendMissing` if torch or transformers is not installed, `BackendError` if it does not load."""
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
        os.environ["GOMP_SPINCOUNT"] = _SPIN_COUNT  # read once, when the library is loaded; people's own choice stands
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import torch
            import transformers.utils.logging
            from transformers import AutoConfig, DynamicCache
            from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing in ("torch", "transformers"):
                raise BackendMissing(f"{missing} is not installed", hint=_HINT) from error
            raise BackendError(f"transformers needs {error.name}, which is not installed here", hint=_HINT) from error
        except (ImportError, OSError, RuntimeError) as error:
            raise BackendError(
                f"transformers is installed but does not load: {error}", hint=f"{_HINT} --force-reinstall"
            ) from error
    require_recent(transformers.__version__)
    return Library(torch, transformers.utils.logging, AutoConfig, MODEL_FOR_CAUSAL_LM_MAPPING, DynamicCache)


def require_recent(version: str) -> None:
    """Return if this release computes rightly what edgelfm asks of it. Raises `BackendError`."""
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < _OLDEST:
        needed = ".".join(map(str, _OLDEST))
        raise BackendError(
            f"transformers {version} is too old: {needed} is the first that goes on in the middle of a prompt",
            hint=f"pip install --upgrade 'transformers>={needed}'",
        )


@contextlib.contextmanager
def quiet(lib: Library, step: Step | None = None) -> Iterator[None]:
    """Let nothing be said for the length of a block. `step` hears instead of the progress bars."""

    def count(factory: object, given: tuple[Iterable[Any], ...], named: dict[str, Any]) -> _Counted:
        return _Counted(given[0] if given else named.get("iterable", ()), step)

    log = lib.logging
    with _SETTINGS, warnings.catch_warnings(), _hushed():
        warnings.simplefilter("ignore")
        before, hook = log.get_verbosity(), log.set_tqdm_hook(count)
        log.set_verbosity(log.CRITICAL)
        try:
            yield
        finally:
            log.set_verbosity(before)
            log.set_tqdm_hook(hook)


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Let the loggers of torch and its relatives say nothing: torchao tells of GPUs that this machine has not."""
    loggers = [logging.getLogger(name) for name in _TALKERS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


class _Counted:
    """Stands where transformers wants a progress bar."""

    def __init__(self, pieces: Iterable[Any], step: Step | None) -> None:
        self._pieces, self._step = pieces, step

    def __iter__(self) -> Iterator[Any]:
        pieces = list(self._pieces)
        for done, piece in enumerate(pieces):
            yield piece
            if self._step is not None:
                self._step(done + 1, len(pieces))

    def __enter__(self) -> _Counted:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *given, **named: None
