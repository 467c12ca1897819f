"""Engines over real models: a tiny LFM2 with the LFM2 template, and the starter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgelfm.backends.llama_cpp.loading import load
from edgelfm.backends.llama_cpp.session import LlamaSession
from edgelfm.chat.engine import Engine
from edgelfm.models.entry import License, ModelEntry, Sampling
from tests.backends.conftest import settings

MakeEngine = Callable[..., Engine]
ENTRY = ModelEntry(
    id="test",
    name="Test",
    repo="",
    architecture=None,
    parameters=None,
    active_parameters=None,
    prompt_format="chatml",
    license=License("apache-2.0", "Apache License 2.0", "", "", must_show=False),
    sampling=Sampling(temperature=0.1, top_k=50, repetition_penalty=1.05),
    artifacts=(),
)


@pytest.fixture
def engine() -> Iterator[MakeEngine]:
    """Makes engines and closes their sessions after the test."""
    made: list[Engine] = []

    def make(path: Path, *, chat_template: str | None = None, **given: object) -> Engine:
        session = LlamaSession(load(path, settings(**given)))
        made.append(Engine(session, ENTRY, chat_template=chat_template))
        return made[-1]

    yield make
    for one in made:
        one.session.close()
