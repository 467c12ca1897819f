"""What the Hub is asked before anything is downloaded, against a real HTTP server with its paths and redirects."""

from __future__ import annotations

import socket
from datetime import datetime, timezone

import pytest

from edgelfm.errors import AccessDenied, DownloadFailed, NotDownloaded, RemoteFileMissing, RequestError, StoreError
from edgelfm.models import hub as asked
from edgelfm.models.bytesource import HubBytes
from edgelfm.models.gguf import read_header
from edgelfm.models.hub_errors import retry_after
from edgelfm.models.hub_settings import Patience, read_settings
from tests.local_hub import LocalHub

REPO = "acme/tiny-GGUF"
CONTENT = bytes(range(256)) * 400


@pytest.fixture(autouse=True)
def files(hub: LocalHub) -> None:
    hub.put(REPO, "tiny-Q4_0.gguf", CONTENT)
    hub.put(REPO, "tiny-Q8_0.gguf", CONTENT * 2)
    hub.put(REPO, "config.json", b'{"layers": 6}', large=False)


def test_lists_files_with_size_and_hash(hub: LocalHub):
    sha256 = hub.put(REPO, "mlx/model.safetensors", b"weights")
    listed = {file.name: file for file in asked.list_files(REPO)}
    assert listed["mlx/model.safetensors"] == asked.HubFile("mlx/model.safetensors", 7, sha256)
    assert listed["config.json"] == asked.HubFile("config.json", 13, None)
    assert sorted(listed) == ["config.json", "mlx/model.safetensors", "tiny-Q4_0.gguf", "tiny-Q8_0.gguf"]


def test_a_long_list_comes_in_pages(hub: LocalHub):
    hub.page_size = 1
    assert len(asked.list_files(REPO)) == 3
    assert len(hub.requests("GET", "api")) == 3


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [
        (0, 10, CONTENT[:10]),
        (1000, 5000, CONTENT[1000:6000]),
        (len(CONTENT) - 3, 10, CONTENT[-3:]),
        (len(CONTENT), 10, b""),
        (5, 0, b""),
    ],
)
def test_reads_ranges(start: int, length: int, expected: bytes):
    assert asked.read_range(REPO, "tiny-Q4_0.gguf", start, length) == expected


def test_reads_small_files_too():
    assert asked.read_range(REPO, "config.json", 0, 100) == b'{"layers": 6}'


def test_a_server_without_ranges_still_answers_the_right_bytes(hub: LocalHub):
    hub.fault("storage", ignore_range=True)
    assert asked.read_range(REPO, "tiny-Q4_0.gguf", 70_000, 100) == CONTENT[70_000:70_100]


def test_the_header_of_a_remote_gguf_is_read_without_the_file(hub: LocalHub, starter_path):
    content = starter_path.read_bytes()
    hub.put(REPO, "starter-Q4_1.gguf", content)
    header = read_header(HubBytes(asked, REPO, "starter-Q4_1.gguf", len(content)))
    assert header.text("general.architecture") == "llama"
    assert hub.served < len(content) // 10


def test_describes_large_and_small_files(hub: LocalHub):
    large = asked.describe(REPO, "tiny-Q4_0.gguf")
    assert (large.bytes, large.sha256, large.commit) == (len(CONTENT), large.etag, hub.repos[REPO].commit)
    small = asked.describe(REPO, "config.json")
    assert (small.bytes, small.sha256, len(small.etag)) == (13, None, 40)


def test_a_renamed_repository_is_followed(hub: LocalHub):
    hub.renamed["acme/old-name"] = REPO
    assert asked.describe("acme/old-name", "tiny-Q4_0.gguf").bytes == len(CONTENT)
    assert len(asked.list_files("acme/old-name")) == 3
    assert asked.read_range("acme/old-name", "tiny-Q4_0.gguf", 0, 4) == CONTENT[:4]


def test_the_token_goes_to_the_hub_and_not_to_its_storage(hub: LocalHub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    asked.read_range(REPO, "tiny-Q4_0.gguf", 0, 10)
    assert [r.authorization for r in hub.requests(where="resolve")] == ["Bearer hf_good"]
    assert [r.authorization for r in hub.requests(where="storage")] == [None]


REFUSALS = [
    # what is asked, what goes wrong, the error, what it says, what its hint says
    ("acme/nothing", "x.gguf", {}, RemoteFileMissing, "no repository acme/nothing", "hf auth login"),
    (REPO, "tiny-Q4_1.gguf", {}, RemoteFileMissing, "no file tiny-Q4_1.gguf", "tiny-Q4_0.gguf"),
    (REPO, "zzz", {}, RemoteFileMissing, "no file zzz", "the repository holds config.json"),
    (REPO, "config.json", {"status": 401}, AccessDenied, "refused access", "HF_TOKEN"),
    (REPO, "config.json", {"status": 403}, AccessDenied, "forbids access", "accept the terms at"),
    (REPO, "config.json", {"status": 400}, DownloadFailed, "answered 400", "in a browser"),
    (REPO, "config.json", {"status": 429, "times": 9}, DownloadFailed, "slow down (429)", "hf auth login"),
    (REPO, "config.json", {"status": 503, "times": 9}, DownloadFailed, "not able to answer (503)", "what has arrived"),
]


@pytest.mark.parametrize(("repo", "name", "fault", "kind", "says", "hint"), REFUSALS)
def test_refusals(hub: LocalHub, brief: Patience, repo, name, fault, kind, says, hint):
    if fault:
        hub.fault("resolve", **fault)
    with pytest.raises(kind) as caught:
        asked.describe(repo, name, settings=read_settings(patience=brief))
    assert says in caught.value.message
    assert hint in caught.value.hint


def test_revision_that_is_not_there():
    with pytest.raises(RemoteFileMissing, match="no revision 'v9'"):
        asked.describe(REPO, "config.json", "v9")


@pytest.mark.parametrize(
    ("token", "says", "hint"),
    [(None, "is gated", "then: hf auth login"), ("hf_stranger", "is gated", "accept the terms at http"),
     ("hf_wrong", "refused access", "your token is wrong")],
)  # fmt: skip
def test_gated_repository(hub: LocalHub, token, says, hint):
    hub.repos[REPO].gated = True
    with pytest.raises(AccessDenied) as caught:
        asked.describe(REPO, "tiny-Q4_0.gguf", settings=read_settings(token=token))
    assert says in caught.value.message
    assert hint in caught.value.hint
    assert isinstance(caught.value, PermissionError)


def test_gated_repository_with_a_token_that_may():
    assert asked.describe(REPO, "tiny-Q4_0.gguf", settings=read_settings(token="hf_good")).bytes == len(CONTENT)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_trouble_passes(hub: LocalHub, brief: Patience, status: int):
    hub.fault("api", status=status, times=2)
    assert len(asked.list_files(REPO, settings=read_settings(patience=brief))) == 3
    assert len(hub.requests("GET", "api")) == 3


def test_retries_are_bounded(hub: LocalHub, brief: Patience):
    hub.fault("api", status=503, times=99)
    with pytest.raises(DownloadFailed, match="503"):
        asked.list_files(REPO, settings=read_settings(patience=brief))
    assert len(hub.requests("GET", "api")) == brief.attempts


def test_retry_after_is_obeyed(hub: LocalHub, brief: Patience):
    hub.fault("api", status=429, headers={"Retry-After": "1"})
    begun = datetime.now(timezone.utc)
    asked.list_files(REPO, settings=read_settings(patience=brief))
    assert 1.0 <= (datetime.now(timezone.utc) - begun).total_seconds() < 3


def test_retry_after_beyond_patience_ends_it_at_once(hub: LocalHub, brief: Patience):
    hub.fault("api", status=429, headers={"Retry-After": "3600"}, times=99)
    with pytest.raises(DownloadFailed, match="to wait 3600 s"):
        asked.list_files(REPO, settings=read_settings(patience=brief))
    assert len(hub.requests("GET", "api")) == 1


def test_a_silent_server_is_given_up(hub: LocalHub, brief: Patience):
    hub.fault("api", hold_after=3, times=99)
    with pytest.raises(DownloadFailed, match=r"it sent nothing for 0.3 s"):
        asked.list_files(REPO, settings=read_settings(patience=brief))
    assert len(hub.requests("GET", "api")) == brief.attempts


def test_no_network(monkeypatch: pytest.MonkeyPatch, brief: Patience):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"  # bound, not listening: connections are refused
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        with pytest.raises(DownloadFailed) as caught:
            asked.list_files(REPO, settings=read_settings(patience=brief))
    assert f"cannot reach {endpoint}" in caught.value.message
    assert "offline=True" in caught.value.hint
    assert isinstance(caught.value, ConnectionError)


def test_something_that_is_no_hub(hub: LocalHub, brief: Patience):
    hub.fault("resolve", status=200, headers={"Content-Type": "text/html"})
    with pytest.raises(DownloadFailed, match="does not answer like a Hub") as caught:
        asked.describe(REPO, "config.json", settings=read_settings(patience=brief))
    assert "login page" in caught.value.hint
    hub.fault("api", status=200)
    with pytest.raises(DownloadFailed, match="does not answer like a Hub"):
        asked.list_files(REPO)


def test_a_hub_cannot_choose_names_outside_the_cache(hub: LocalHub):
    hub.fault("resolve", status=200, headers={"X-Repo-Commit": "0" * 40, "ETag": '"../../../.bashrc"'})
    with pytest.raises(DownloadFailed, match="does not answer like a Hub"):
        asked.describe(REPO, "config.json")


@pytest.mark.parametrize("name", ["../secret", "a//b", "a/../../b", "C:\\x", "\\\\server\\x"])
def test_names_that_are_no_paths_in_a_repository(name: str, hub: LocalHub):
    with pytest.raises(RequestError, match="not a path inside a repository"):
        asked.read_range(REPO, name, 0, 1)
    assert hub.log == []


@pytest.mark.parametrize("repo", ["", "a/b/c", "../x", "a b/c"])
def test_names_that_are_no_repositories(repo: str):
    with pytest.raises(RequestError, match="not the name of a repository"):
        asked.list_files(repo)


def test_offline_asks_nobody(hub: LocalHub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(NotDownloaded, match="offline"):
        asked.list_files(REPO)
    with pytest.raises(NotDownloaded, match="offline"):
        asked.read_range(REPO, "config.json", 0, 4)
    assert hub.log == []


def test_every_error_is_a_store_error_with_a_hint(hub: LocalHub, brief: Patience):
    for status in (400, 401, 402, 403, 404, 405, 409, 410, 413, 418, 429, 451, 500, 501, 502, 503, 504):
        hub.fault("resolve", status=status, times=brief.attempts, headers={"Location": "/nowhere"})
        with pytest.raises(StoreError) as caught:
            asked.describe(REPO, "config.json", settings=read_settings(patience=brief))
        assert caught.value.hint, status
        hub.clear_faults()


def test_waits_that_servers_ask_for():
    now = datetime(2026, 11, 24, 12, 0, tzinfo=timezone.utc)
    assert retry_after({"retry-after": "7"}) == 7
    assert retry_after({"retry-after": "Tue, 24 Nov 2026 12:00:30 GMT"}, now) == 30
    assert retry_after({"retry-after": "Tue, 24 Nov 2026 11:00:00 GMT"}, now) == 0
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({"ratelimit": '"api";r=0;t=55'}) == 55
    assert retry_after({"ratelimit": '"api";r=12;t=55'}) is None
    assert retry_after({}) is None
