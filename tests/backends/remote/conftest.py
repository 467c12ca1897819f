"""Servers to speak with: one that does what it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

import edgelfm
from edgelfm.remote_model import RemoteModel
from tests.fault_server import FaultServer, Play, fault_server

pytest.importorskip("openai", reason="to run: pip install 'edgelfm[remote]'")

Connected = tuple[RemoteModel, FaultServer]
#: Patience for tests: long enough for a busy machine, short where silence is what is tested.
QUICK = {"connect_seconds": 20.0, "first_token_seconds": 60.0, "between_tokens_seconds": 60.0}


@pytest.fixture
def served() -> Iterator[Callable[..., Connected]]:
    """`lfm, server = served(play, …)`: a model of a server that plays these, with keywords of `connect`."""
    with ExitStack() as stack:

        def make(*plays: Play, **given: object) -> Connected:
            server = stack.enter_context(fault_server(*plays))
            lfm = edgelfm.connect(server.url, **{**QUICK, **given})  # type: ignore[arg-type]
            return stack.enter_context(lfm), server  # type: ignore[return-value]

        yield make
