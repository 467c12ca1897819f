"""From the options of a verb to an open model, with something to look at on the way."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .output import side

if TYPE_CHECKING:
    from ..model import Model


def open_model(name: str | None, **wishes: Any) -> Model:
    """Plan, fetch with progress bars, then load with a spinner. The keywords are those of `edgelfm.load`."""
    import edgelfm

    from ..models import store
    from ..planning import require
    from ..served import REMOTE

    tune, offline = wishes.pop("tune", True), wishes.get("offline")
    with working("Planning"):
        candidate = require(edgelfm.plan(name, **wishes))
    if candidate.backend != REMOTE:
        bars = sys.stderr.isatty()
        store.fetch(candidate.artifact, license=candidate.model.license, offline=offline, progress=bars)
    called = f"{candidate.model.name} {candidate.quantization}"
    with working(f"Loading {called}") as say:
        told = (lambda now: say(f"Measuring this machine for {called}, once ({now.phase})")) if tune else False
        return edgelfm.load(name, progress=False, tune=told, **wishes)


def open_remote(url: str, name: str | None, key: str | None, context: int | None) -> Model:
    """Connect to a server; "find" is whichever is on this machine."""
    import edgelfm

    with working("Connecting"):
        return edgelfm.connect(None if url == "find" else url, name, key, context=context)


@contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """A spinner on stderr while the block runs; nothing where stderr is not a terminal. Gives a way to say more."""
    if not sys.stderr.isatty():
        yield lambda more: None
        return
    with side().status(what, spinner="dots") as spinner:
        yield spinner.update
