"""A long beginning made ready once: a system prompt, a document, so that every question after it starts at once.

The model's state after the beginning stays in memory until the model is closed, and on disk if asked. What a prompt
begins with is found by rendering several and comparing their tokens, so no template is taken for granted.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import threading
import time
import warnings
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..backends.base import Session
from ..backends.state_file import is_state, read_state, write_state
from ..backends.states import common_prefix
from ..errors import RequestError, StateRefused
from ..paths import cache_folder
from ..units import format_bytes, format_seconds
from .engine import Engine
from .messages import Message

#: What people may go on with. Each meets the end of the beginning in another way, and tokens that one of them would
#: merge with are left out.
_CONTINUATIONS = ("a", " the", "\n\nWhy?", "1", ".")
_QUIET_SECONDS = 1.0  # a bar for less only flickers
_BETWEEN_LOOKS = 0.2  # seconds
_UNKNOWN_TERMINAL = (72, 24)  # columns and rows of one that does not say
_UNUSED_DAYS = 30.0


@dataclass(frozen=True, slots=True)
class Primed:
    """What was made ready."""

    tokens: int  # that every such prompt begins with
    seconds: float
    bytes: int  # more that is held in memory until the model is closed; 0 if it was there before
    from_disk: bool  # read, not evaluated
    path: Path | None  # where it is on disk
    refused: str = ""  # why there was a file that could not be used, or empty

    def __str__(self) -> str:
        how = "read from disk" if self.from_disk else "evaluated"
        where = f", kept in {self.path}" if self.path is not None and not self.from_disk else ""
        why = f" ({self.refused})" if self.refused else ""
        return (
            f"{self.tokens} tokens ready, {how} in {format_seconds(self.seconds)}, "
            f"{format_bytes(self.bytes)} in memory{where}{why}"
        )

    def __repr__(self) -> str:
        return f"<Primed {self}>"


def prime(engine: Engine, prefix: str | None, system: str | None, disk: bool | Path, *, progress: bool) -> Primed:
    """Make the beginning ready that prompts with `system`, and a message that begins with `prefix`, have in common.

    Raises `RequestError`, `ContextExceeded`, `StoreError` and what `Session.prime` raises.
    """
    session = engine.session
    ids = shared_tokens(engine, prefix, system)
    started = time.perf_counter()
    before = session.kept().pinned_bytes
    path = _path(session, ids, disk)
    refused = _read(session, ids, path) if path is not None else "no file"
    if refused:
        _evaluate(session, ids, progress)
        if path is not None:
            path = _write(session, ids, path)
    seconds = time.perf_counter() - started
    held = session.kept().pinned_bytes - before
    return Primed(len(ids), seconds, held, not refused, path, "" if refused == "no file" else refused)


def shared_tokens(engine: Engine, prefix: str | None, system: str | None) -> list[int]:
    """The tokens that all prompts beginning so have in common. Raises `ContextExceeded` if none would fit."""
    for name, text in (("prefix", prefix), ("system", system)):
        if text is not None and not isinstance(text, str):
            raise RequestError(f"{name} is {type(text).__name__}, not text", hint='as in lfm.prime("A long document")')
    if not prefix and not system:
        raise RequestError("there is nothing to make ready", hint="give prefix= or system=")
    options = engine.options({})
    led = [Message("system", system)] if system is not None else []
    prompts = [
        list(engine.fit([*led, Message("user", (prefix or "") + text)], options, "error").ids)
        for text in _CONTINUATIONS
    ]
    return prompts[0][: min(common_prefix(prompts[0], other) for other in prompts[1:])]


def _path(session: Session, ids: list[int], disk: bool | Path) -> Path | None:
    """Where the state is kept. Raises `RequestError` for a file that is not ours to overwrite."""
    if disk is False:
        return None
    said = json.dumps(dict(session.state_identity()), sort_keys=True).encode()
    name = hashlib.blake2b(said + array("i", ids).tobytes(), digest_size=16).hexdigest() + ".state"
    if disk is True:
        return _cache() / name
    if disk.is_dir():
        return disk / name
    if disk.exists() and not is_state(disk):
        raise RequestError(f"{disk} is no state of edgelfm, and would be overwritten", hint="give another name")
    return disk


def _cache() -> Path:
    return cache_folder() / "states"


def _read(session: Session, ids: list[int], path: Path) -> str:
    """Pin the state in `path`. Returns why not, or an empty text."""
    try:
        state = read_state(path)
        if list(state.tokens) != ids:
            return f"{path} is for another text"
        session.import_state(state, pin=True)
    except FileNotFoundError:
        return "no file"
    except StateRefused as error:
        return error.message
    with contextlib.suppress(OSError):  # a cache that cannot say when it was used is only emptied sooner
        os.utime(path)
    return ""


def _write(session: Session, ids: list[int], path: Path) -> Path | None:
    state = session.export_state(ids)
    if state is None or list(state.tokens) != ids:  # a runtime without files, or another thread went on with it
        return None
    if path.parent == _cache():
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_unused(path.parent)
    write_state(path, state)
    return path


def _remove_unused(folder: Path) -> None:
    """States of runtimes and weights that were replaced since would stay for ever."""
    oldest = time.time() - _UNUSED_DAYS * 86400
    for path in folder.glob("*.state"):
        with contextlib.suppress(OSError):  # another process was faster
            if path.stat().st_mtime < oldest:
                path.unlink()


def _evaluate(session: Session, ids: list[int], progress: bool) -> None:
    """Evaluate and pin, in one go. A bar, if one is wanted, watches from outside how the state grows."""
    finished = threading.Event()
    with _bar(len(ids), progress) as bar:

        def watch() -> None:
            while not finished.wait(_BETWEEN_LOOKS):
                bar.update(max(0, min(session.kept().tokens, len(ids)) - bar.n))

        watcher = threading.Thread(target=watch, name="edgelfm-prime", daemon=True) if bar is not None else None
        if watcher is not None:
            watcher.start()
        try:
            session.prime(ids, pin=True)
        finally:
            finished.set()
            if watcher is not None:
                watcher.join()


@contextlib.contextmanager
def _bar(total: int, wanted: bool) -> Iterator[Any]:
    """A bar of tokens that appears after a second; None where nobody would see one."""
    notebook = "ipykernel" in sys.modules
    if not wanted or not (notebook or sys.stderr.isatty()):
        yield None
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm remarks that ipywidgets is missing, and falls back to text by itself
        from tqdm.auto import tqdm
    columns = 0 if notebook else os.get_terminal_size(sys.stderr.fileno()).columns
    known = notebook or columns > 0  # tqdm takes a console that does not say for one of no size, and shows nothing
    width, height = (None, None) if known else _UNKNOWN_TERMINAL
    with tqdm(
        total=total, unit=" tokens", desc="evaluating", delay=_QUIET_SECONDS, file=sys.stderr, leave=False,
        ncols=width, nrows=height, dynamic_ncols=columns > 0,
    ) as bar:  # fmt: skip
        yield bar
