"""Conversations that outlive their process: text that always comes back, and a state that saves time if it fits.

The two files stand alone. A state says itself which tokens it is for, so one that is older or newer than the text
serves as far as both agree, and one that cannot be used costs time and no words.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from ..backends.state_file import read_state, write_state
from ..backends.states import common_prefix
from ..errors import ChatFileError, ContextExceeded, RequestError, StateNotUsed, StateRefused, TemplateError
from .answering import Answering, LoadedAs, Overflow
from .conversation import Conversation
from .engine import Engine
from .saved import SavedChat, write_chat
from .tree import Tree

_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep


@dataclass(frozen=True, slots=True)
class Resumed:
    """How a conversation was taken up again."""

    path: Path
    saved_at: str  # ISO 8601, UTC; empty if the file does not say
    state_tokens: int  # tokens that need no evaluation, because their state was there
    refused: str  # why there was a state that could not be used, or empty


def state_beside(path: Path) -> Path:
    """Where the state of the conversation in `path` is kept. Raises `RequestError` if that is `path` itself."""
    beside = path.with_suffix(".state")
    if beside == path:
        raise RequestError(
            f"{path} is what the state beside a conversation is called", hint=f"save as {path.with_suffix('.json')}"
        )
    return beside


def save(engine: Answering, tree: Tree, overflow: Overflow, path: Path, *, state: bool) -> tuple[Path, ...]:
    """Write the text, and with `state` what the model has computed of the present branch, if it has anything."""
    beside = state_beside(path)
    if state and not isinstance(engine, Engine):
        raise RequestError("what this model has computed is with its server", hint=f'talk.save("{path}")')
    write_chat(path, tree, engine.loaded_as, overflow)
    if not state or not isinstance(engine, Engine):
        return (path,)
    ids = _ids(engine, tree, overflow)
    exported = engine.session.export_state(ids) if ids else None
    if exported is None:
        return (path,)
    write_state(beside, exported)
    return path, beside


def was_with(path: Path, saved: SavedChat) -> LoadedAs:
    """The model that a conversation was with. Raises `ChatFileError` if that cannot be loaded.

    A file that names a server is not followed there: it may be anybody's, and so may the server.
    """
    if saved.model is None:
        raise ChatFileError(
            f"{path}: does not say which model it was with", hint=f'edgelfm.resume("{path}", "starter")'
        )
    if "://" in (saved.model.backend or ""):
        to = f'edgelfm.connect("{saved.model.backend}", model="{saved.model.name}")'
        raise ChatFileError(
            f"{path}: was with {saved.model.name} of the server at {saved.model.backend}",
            hint=f'edgelfm.resume("{path}", {to})',
        )
    return saved.model


def resume(engine: Answering, path: Path, saved: SavedChat) -> Conversation:
    """Take up what was read from `path`. Warns with `StateNotUsed` if there is a state and it cannot be used."""
    tokens, refused = 0, ""
    try:
        if not isinstance(engine, Engine):
            raise FileNotFoundError  # a state is of no use to a server
        state = read_state(state_beside(path))
        engine.session.import_state(state)
        tokens = common_prefix(list(state.tokens), _ids(engine, saved.tree, saved.overflow))
    except FileNotFoundError:
        pass
    except StateRefused as error:
        refused = error.message
        warnings.warn(StateNotUsed(f"{refused}; the conversation is evaluated anew"), stacklevel=_outside())
    talk = Conversation(engine, overflow=saved.overflow, tree=saved.tree, seen=tokens)
    talk.resumed = Resumed(path, saved.saved_at, tokens, refused)
    return talk


def _ids(engine: Engine, tree: Tree, overflow: Overflow) -> list[int]:
    """Tokens of the present branch as the next turn will want them. None before the first reply."""
    messages = [node.message for node in tree.path()]
    if not any(message.role == "assistant" for message in messages):
        return []
    try:
        if overflow == "drop_oldest":
            with contextlib.suppress(ContextExceeded):  # the last turn alone fills it, and begins as the model saw it
                return list(engine.fit(messages, engine.options({}), overflow).ids)
        return list(engine.prompt(messages).ids)
    except TemplateError:  # these messages are not for this model; the next turn will say so
        return []


def _outside() -> int:
    """The `stacklevel` at which a warning names the line that called this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    return level
