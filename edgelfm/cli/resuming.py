"""Conversations in files, for `edgelfm chat`: which model they were with, and going on with them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RequestError, StateNotUsed

if TYPE_CHECKING:
    from ..chat import Conversation
    from ..model import Model


def as_recorded(
    file: Path, model: str | None, system: str | None, wishes: Mapping[str, Any], *, remote: bool = False
) -> tuple[str | None, dict[str, Any]]:
    """The model to open for `file` and how, where nothing else was asked for. `remote` says that a server has it.

    Raises `ChatFileError`, and `RequestError` for a system prompt where the conversation has begun.
    """
    from ..chat.resuming import state_beside
    from ..chat.saved import read_chat

    state_beside(file)  # refuses a name that is taken by the state
    if not file.exists():
        if not file.parent.is_dir():
            raise RequestError(f"there is no folder {file.parent}", hint=f"mkdir -p {file.parent}")
        return model, dict(wishes)
    recorded = read_chat(file).model
    if system is not None:
        raise RequestError(f"{file} holds a conversation that has begun", hint="leave out --system, and use /system")
    if model is not None or recorded is None:
        return model, dict(wishes)
    served = "://" in (recorded.backend or "")
    if remote or served:
        if not remote:
            raise RequestError(
                f"{file} was with {recorded.name} of the server at {recorded.backend}",
                hint=f"edgelfm chat {recorded.name} --url {recorded.backend} --resume {file}",
            )
        return recorded.name if served else None, dict(wishes)
    kept = {
        "quantization": recorded.quantization, "backend": recorded.backend, "context": recorded.context,
        "adapter": recorded.adapter,
    }  # fmt: skip
    return recorded.name, {name: kept.get(name) if wish is None else wish for name, wish in wishes.items()}


def resume(model: Model, file: Path) -> Conversation:
    """The conversation in `file`. Why a state was not used is in `.resumed` and warned of nowhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StateNotUsed)
        return model.resume(file)


@contextmanager
def one_turn(model: Model, system: str | None, file: Path | None) -> Iterator[Conversation]:
    """A conversation for one turn, which is kept in `file` if there is one."""
    talk = resume(model, file) if file is not None and file.exists() else model.conversation(system=system)
    yield talk
    if file is not None:
        talk.save(file)
