"""What a server on this machine has, as the last candidates of a plan."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO

import pytest
from rich.console import Console

import edgelfm
from edgelfm.errors import PlanningError, RequestError
from edgelfm.hardware import profiles
from edgelfm.remote_model import RemoteModel
from tests.backends.remote.ollama import TAGS, ollama
from tests.fault_server import FaultServer

pytest.importorskip("openai", reason="to run: pip install 'edgelfm[remote]'")

LFM = "lfm2.5-1.2b-instruct"
TAG = {**TAGS[0], "name": "hf.co/LiquidAI/LFM2.5-1.2B-Instruct-GGUF:Q4_K_M"}


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    """An Ollama that has a Liquid model, where OLLAMA_HOST says."""
    with ollama(tags=[TAG, *TAGS[1:]]) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        yield server


def test_it_comes_after_all_that_runs_here(served: FaultServer) -> None:
    made = edgelfm.plan(LFM)
    last = made.candidates[-1]
    assert (last.backend, last.model.id) == ("remote", LFM)
    assert last.reason.startswith("served by Ollama")
    assert last.load_command == f'edgelfm.connect("{served.url}", model="{TAG["name"]}")'
    assert made.chosen is not None
    assert made.chosen.backend == "llama.cpp"


def test_what_nobody_asked_for_is_not_listed(served: FaultServer) -> None:
    assert "remote" not in {one.backend for one in edgelfm.plan("LFM2.5-350M").candidates}
    assert "remote" not in {one.backend for one in edgelfm.plan(LFM, backend="llama.cpp").candidates}
    assert "remote" not in {one.backend for one in edgelfm.plan(LFM, offline=True).candidates}


def test_asked_for_it_is_what_load_gives(served: FaultServer) -> None:
    with edgelfm.load(backend="remote") as lfm:
        assert isinstance(lfm, RemoteModel)
        assert lfm.chat("Hello?").text == "Hello"
    assert {one.backend for one in edgelfm.plan(backend="remote").candidates} == {"remote"}


def test_what_is_asked_for_is_kept_or_refused(served: FaultServer) -> None:
    with edgelfm.load(LFM, backend="remote", context=2048, quantization="q4_k_m") as lfm:
        assert lfm.context == 2048
    served.pages["/api/ps"] = (200, {"models": [{"name": TAG["name"], "context_length": 1024}]})
    for wish, fix in (
        ({"context": 2048}, "use context 1024"),
        ({"quantization": "Q8_0"}, "choose quantization Q4_K_M"),
    ):
        with pytest.raises(PlanningError, match="Ollama") as caught:
            edgelfm.load(LFM, backend="remote", **wish)  # type: ignore[arg-type]
        assert caught.value.hint == fix
    with pytest.raises(RequestError, match="which offline=True forbids"):
        edgelfm.load(LFM, backend="remote", offline=True)


def test_a_plan_with_it_can_be_shown(served: FaultServer) -> None:
    shown = StringIO()
    made = edgelfm.plan(LFM, backend="remote")
    Console(file=shown, width=100).print(made)
    assert "served by Ollama" in shown.getvalue()
    assert "served by Ollama" in made._repr_mimebundle_()["text/html"]
    assert made.to_dict()["chosen"]["backend"] == "remote"


def test_without_a_server_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    with pytest.raises(PlanningError, match=r"no server on this machine has it|no server answers") as caught:
        edgelfm.load(LFM, backend="remote")
    assert "edgelfm.connect" in caught.value.hint


def test_every_profile_that_lists_it_says_so_last() -> None:
    assert all(one.backends[-1] == "remote" for one in profiles.load().values() if "remote" in one.backends)
