"""The way through a proxy: the same for questions and replies, and never to this machine."""

from __future__ import annotations

import pytest

import edgelfm
from edgelfm.backends.remote.address import read_address
from edgelfm.backends.remote.discovery import discover
from edgelfm.backends.remote.proxies import proxy_for
from edgelfm.errors import RequestError, ServerUnreachable
from tests.fault_server import fault_server, replies, says

pytest.importorskip("openai", reason="to run: pip install 'edgelfm[remote]'")

BOX = "http://box.invalid:8000"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the environment named no proxy."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize("name", ["http_proxy", "ALL_PROXY"])
def test_questions_and_replies_go_through_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with fault_server(replies("Hello")) as proxy:
        monkeypatch.setenv(name, proxy.url.replace("//", "//me:p%40ss@"))
        proxy.pages = {f"{BOX}/v1/models": (200, {"data": [{"id": "tiny"}]})}
        with edgelfm.connect(BOX, key="sk-mine") as lfm:
            assert lfm.chat("Hi") == "Hello"
    assert [proxy.requests[0].path, proxy.requests[-1].path] == [f"{BOX}/v1/models", f"{BOX}/v1/chat/completions"]
    assert {one.headers["proxy-authorization"] for one in proxy.requests} == {"Basic bWU6cEBzcw=="}
    assert {one.headers["authorization"] for one in proxy.requests} == {"Bearer sk-mine"}


def test_this_machine_and_what_no_proxy_names_are_reached_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "box.invalid")
    assert proxy_for(read_address(BOX)) is None
    assert proxy_for(read_address("http://other.invalid")) is not None
    with fault_server() as server, edgelfm.connect(server.url) as lfm:
        assert lfm.chat("Hi") == "Hello"


def test_a_secret_of_the_proxy_is_in_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://me:secret@127.0.0.1:9")
    with pytest.raises(ServerUnreachable) as caught:
        edgelfm.connect(BOX)
    assert "the proxy http://127.0.0.1:9; NO_PROXY=box.invalid" in caught.value.hint
    assert "secret" not in str(caught.value)


def test_a_proxy_that_wants_to_know_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    with fault_server(says(407, {})) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        proxy.pages = {f"{BOX}/v1/models": (407, {})}
        with pytest.raises(ServerUnreachable, match="wants a user and a password"):
            edgelfm.connect(BOX)


@pytest.mark.parametrize("named", ["socks5://127.0.0.1:1080", "http://[half", "http://box:many"])
def test_one_that_cannot_be_used_is_said(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", named)
    with pytest.raises(RequestError, match="the environment names a proxy") as caught:
        edgelfm.connect(BOX)
    assert "NO_PROXY=box.invalid" in caught.value.hint
    assert discover(0.1, at=[read_address(BOX)]) == ()
