"""Finding servers on this machine, and telling them apart by what they answer."""

from __future__ import annotations

import time

import pytest

import edgelfm
from edgelfm.backends.remote import discover
from edgelfm.backends.remote.address import read_address
from edgelfm.backends.remote.asking import Asker
from edgelfm.backends.remote.discovery import ollama_address, places
from edgelfm.backends.remote.probing import all_details
from edgelfm.errors import ServerTimeout, ServerUnreachable
from tests.backends.remote.ollama import ollama
from tests.fault_server import Handler, fault_server

NOWHERE = read_address("127.0.0.1:9")


@pytest.mark.parametrize(
    ("given", "root"),
    [
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        (":9999", "http://127.0.0.1:9999"),
        ("box", "http://box:11434"),
        ("box:80", "http://box:80"),
        ("https://box", "https://box"),
        ("http://[::]:11434", "http://[::1]:11434"),
        ("'127.0.0.1:12345'", "http://127.0.0.1:12345"),
        ("not an address", "http://127.0.0.1:11434"),
    ],
)
def test_ollama_is_where_its_own_client_looks(given: str, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", given)
    assert ollama_address().root == root


def test_only_this_machine_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLLAMA_HOST", raising=False)
    assert {place.port for place in places()} == {11434, 8080, 8000, 1234}
    assert all(place.loopback for place in places())


def test_where_nobody_listens_it_costs_nothing() -> None:
    discover(at=[NOWHERE])
    started = time.perf_counter()
    assert discover(at=[NOWHERE] * 4) == ()
    assert time.perf_counter() - started < 0.05


def test_an_ollama_tells_its_models() -> None:
    with ollama() as server:
        (found,) = discover(20, at=[NOWHERE, read_address(server.url)])
        assert (found.kind, found.version, found.url) == ("ollama", "0.12.3", server.url)
        lfm, other, _ = found.models
        assert (lfm.id, lfm.bytes, lfm.quantization, lfm.parameters) == ("lfm2.5:1.2b", 730_895_360, "Q4_K_M", "1.17B")
        assert lfm.is_lfm
        assert not other.is_lfm
        assert (lfm.context, lfm.context_from) == (8192, "as it is loaded now")
        shown = all_details(Asker(read_address(server.url)), found).models
        assert [one.context for one in shown] == [8192, 4096, 512]
        assert shown[0].abilities == {"completion", "tools"}
        assert shown[2].embeds_only
        assert "lfm2.5:1.2b (1.17B, Q4_K_M, 697 MiB, context 8192)" in str(found)
        assert "Ollama 0.12.3" in found._repr_mimebundle_()["text/html"]


def test_vllm_tells_its_context() -> None:
    with fault_server(models=[{"id": "LiquidAI/LFM2-1.2B", "owned_by": "vllm", "max_model_len": 32768}]) as server:
        server.pages["/version"] = (200, {"version": "0.23.0"})
        (found,) = discover(20, at=[read_address(server.url)])
        assert (found.kind, found.version, found.models[0].context) == ("vllm", "0.23.0", 32768)


def test_lm_studio_tells_what_is_loaded() -> None:
    with fault_server(models=[{"id": "lfm2-1.2b", "owned_by": "organization_owner"}]) as server:
        told = {
            "id": "lfm2-1.2b", "type": "llm", "arch": "lfm2", "quantization": "Q8_0", "state": "loaded",
            "max_context_length": 128000, "loaded_context_length": 4096, "capabilities": ["tool_use"],
        }  # fmt: skip
        server.pages["/api/v0/models"] = (200, {"data": [told]})
        (found,) = discover(20, at=[read_address(server.url)])
        (one,) = found.models
        assert (found.kind, one.context, one.quantization, one.loaded) == ("lm studio", 4096, "Q8_0", True)
        assert one.abilities == {"completion", "tools"}


@pytest.mark.parametrize(
    "page", [(200, "<html>a web site</html>"), (404, {"error": "?"}), (200, [1, 2]), (500, "trouble"), (401, {})]
)
def test_whatever_else_listens_at_a_usual_port_is_no_server_of_models(page: tuple[int, object]) -> None:
    with fault_server() as server:
        server.pages["/v1/models"] = page
        assert discover(20, at=[read_address(server.url)]) == ()


@pytest.mark.parametrize(
    "models", [[], [{"id": 7}], ["tiny"], [{"id": "a", "owned_by": None, "meta": 3, "max_model_len": "many"}]]
)
def test_strange_lists_are_taken_for_what_they_are(models: list[object]) -> None:
    with fault_server() as server:
        server.pages["/v1/models"] = (200, {"data": models})
        (found,) = discover(20, at=[read_address(server.url)])
        assert found.kind == "openai"
        assert all(one.context is None for one in found.models)


def test_a_server_that_never_answers_is_given_up() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        assert discover(0.1, at=[read_address(f"127.0.0.1:{silent.getsockname()[1]}")]) == ()
        assert time.monotonic() - started < 20


def test_an_answer_without_end_is_given_up() -> None:
    """A camera at a usual port, say: every part comes in time, and the whole never."""

    def stream(handler: Handler) -> None:
        handler.begin()
        while not handler.fault.released.wait(0.01):
            handler.raw(b"picture")

    with fault_server() as server:
        server.gets = stream
        assert discover(0.1, at=[read_address(server.url)]) == ()
        with pytest.raises(ServerTimeout, match="does not answer"):
            edgelfm.connect(server.url, connect_seconds=0.1)


def test_a_name_that_no_host_can_have_is_nobody() -> None:
    assert discover(0.1, at=[read_address("http://a..b")]) == ()
    with pytest.raises(ServerUnreachable, match=r"no host 'a\.\.b'"):
        edgelfm.connect("http://a..b")
