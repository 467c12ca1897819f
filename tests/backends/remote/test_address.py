from __future__ import annotations

import pytest

from edgelfm.backends.remote.address import read_address
from edgelfm.errors import RequestError


@pytest.mark.parametrize(
    ("given", "api"),
    [
        ("localhost:11434", "http://localhost:11434/v1"),
        ("http://localhost:11434", "http://localhost:11434/v1"),
        ("http://localhost:11434/", "http://localhost:11434/v1"),
        ("http://localhost:11434/v1", "http://localhost:11434/v1"),
        (" http://box:8000/v1/ ", "http://box:8000/v1"),
        ("https://box/llm/v1/chat/completions", "https://box/llm/v1"),
        ("https://box.example", "https://box.example/v1"),
        ("[::1]:8080", "http://[::1]:8080/v1"),
        ("192.168.1.7", "http://192.168.1.7/v1"),
        ("http://box:8000//v1//", "http://box:8000/v1"),
        ("http://box/#/models", "http://box/v1"),
    ],
)
def test_however_it_is_written_it_is_the_same_server(given: str, api: str) -> None:
    assert read_address(given).api == api
    assert read_address(given).root == api.removesuffix("/v1")


@pytest.mark.parametrize(
    "given",
    [
        "",
        "ftp://box",
        "http://",
        "a b",
        "http://box:99999",
        None,
        "http://me:pw@box",
        "::1:8080",
        "http://box/v1?version=1",
    ],
)
def test_what_is_no_address_is_refused_with_an_example(given: object) -> None:
    with pytest.raises(RequestError) as caught:
        read_address(given)
    assert "connect(" in caught.value.hint


@pytest.mark.parametrize(
    ("given", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1:1", True),
        ("127.8.8.8", True),
        ("[::1]", True),
        ("10.0.0.1", False),
        ("box", False),
    ],
)
def test_this_machine_is_told_from_others(given: str, loopback: bool) -> None:
    assert read_address(given).loopback is loopback
