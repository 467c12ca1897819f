"""Downloads that go wrong: what is kept, what is fetched again, and what people are told.

The resumption is read from the server's log: which ranges were asked for and how many bytes went out.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgelfm.errors import (
    AccessDenied,
    DownloadFailed,
    EdgelfmError,
    HashMismatch,
    ModelFileError,
    NoDiskSpace,
    RemoteFileMissing,
    StoreError,
)
from edgelfm.models import store
from edgelfm.models.disk_room import check_room, free_bytes
from edgelfm.models.entry import Artifact, File, License
from edgelfm.models.hub_settings import Patience
from edgelfm.models.progress import Downloading
from tests.local_hub import LocalHub

REPO = "acme/tiny-GGUF"
NAME = "tiny-F16.gguf"
FREE = License("apache-2.0", "Apache License 2.0", "", "Free.", False)
ARTIFACT = Artifact("llama.cpp", "F16", REPO, (File(NAME),))


@pytest.fixture
def content(hub: LocalHub, tiny_path: Path) -> bytes:
    content = tiny_path.read_bytes()
    hub.put(REPO, NAME, content)
    return content


@pytest.fixture
def once() -> Patience:
    """No second attempt within a call."""
    return Patience(connect=2, stall=0.3, attempts=1, attempts_unreachable=1)


def fetch(patience: Patience, **options: object) -> Path:
    return store.fetch(ARTIFACT, license=FREE, progress=False, patience=patience, **options)["weights"]  # type: ignore[arg-type]


def partials(tmp_path: Path) -> list[int]:
    return [path.stat().st_size for path in (tmp_path / "cache").glob("*/blobs/*.incomplete")]


def ranges(hub: LocalHub) -> list[str | None]:
    return [request.range for request in hub.requests("GET", "storage")]


def test_a_cut_within_one_call_goes_on(hub: LocalHub, content: bytes, brief: Patience):
    hub.fault("storage", cut_after=200_000)
    hub.fault("storage", cut_after=100_000)
    assert fetch(brief).read_bytes() == content
    assert ranges(hub) == [None, "bytes=200000-", "bytes=300000-"]
    assert hub.served == len(content)


def test_a_cut_call_is_gone_on_with_by_the_next(hub: LocalHub, content: bytes, once: Patience, tmp_path: Path):
    hub.fault("storage", cut_after=200_000)
    with pytest.raises(DownloadFailed, match="was lost") as caught:
        fetch(once)
    assert "goes on from there" in caught.value.hint
    assert store.find(ARTIFACT) is None
    assert partials(tmp_path) == [200_000]
    assert fetch(once).read_bytes() == content
    assert ranges(hub) == [None, "bytes=200000-"]
    assert hub.served == len(content)
    assert partials(tmp_path) == []


def test_many_cuts_are_fine_as_long_as_bytes_arrive(hub: LocalHub, content: bytes, brief: Patience):
    hub.fault("storage", cut_after=50_000, times=8)  # more than `attempts` failures, none twice at the same place
    assert fetch(brief).read_bytes() == content
    assert hub.served == len(content)


def test_an_end_without_a_length_is_noticed(hub: LocalHub, content: bytes, brief: Patience):
    hub.fault("storage", cut_after=200_000, chunked=True)
    assert fetch(brief).read_bytes() == content
    assert ranges(hub) == [None, "bytes=200000-"]


def test_a_server_that_ignores_ranges_makes_it_start_over(hub: LocalHub, content: bytes, brief: Patience):
    hub.fault("storage", cut_after=200_000)
    hub.fault("storage", ignore_range=True)
    assert fetch(brief).read_bytes() == content
    assert hub.served == 200_000 + len(content)


def test_wrong_bytes_are_refused_and_deleted(hub: LocalHub, content: bytes, brief: Patience, tmp_path: Path):
    hub.fault("storage", flip_byte=300_000)
    with pytest.raises(HashMismatch, match=r"their sha256 is [0-9a-f]{64} and not [0-9a-f]{64}\. They were"):
        fetch(brief)
    assert partials(tmp_path) == []
    assert list((tmp_path / "cache").glob("*/blobs/*")) == []
    assert store.find(ARTIFACT) is None
    assert fetch(brief).read_bytes() == content


def test_what_a_power_cut_damaged_is_fetched_anew(hub: LocalHub, content: bytes, once: Patience, tmp_path: Path):
    hub.fault("storage", cut_after=200_000)
    with pytest.raises(DownloadFailed):
        fetch(once)
    (partial,) = (tmp_path / "cache").glob("*/blobs/*.incomplete")
    partial.write_bytes(content[:150_000] + bytes(50_000))
    assert fetch(once).read_bytes() == content
    assert ranges(hub) == [None, "bytes=200000-", None]


@pytest.mark.parametrize("extra", [0, 10])
def test_a_partial_file_that_is_all_there_or_too_long(hub: LocalHub, content: bytes, once: Patience, tmp_path, extra):
    hub.fault("storage", cut_after=200_000)
    with pytest.raises(DownloadFailed):
        fetch(once)
    (partial,) = (tmp_path / "cache").glob("*/blobs/*.incomplete")
    partial.write_bytes(content + bytes(extra))
    assert fetch(once).read_bytes() == content
    assert ranges(hub) == ([None] if extra == 0 else [None, None])


def test_a_stalled_server_is_left_and_asked_again(hub: LocalHub, content: bytes, brief: Patience):
    hub.fault("storage", hold_after=200_000)
    assert fetch(brief).read_bytes() == content
    assert ranges(hub) == [None, "bytes=200000-"]


def test_a_server_that_stalls_for_ever(hub: LocalHub, content: bytes, brief: Patience, tmp_path: Path):
    hub.fault("storage", hold_after=0, times=99)
    with pytest.raises(DownloadFailed, match=r"sent nothing for 0\.3 s"):
        fetch(brief)
    assert len(ranges(hub)) == brief.attempts
    assert partials(tmp_path) == [0]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_trouble_midway_passes(hub: LocalHub, content: bytes, brief: Patience, status: int):
    hub.fault("storage", cut_after=200_000)
    hub.fault("storage", status=status, times=2)
    assert fetch(brief).read_bytes() == content
    assert ranges(hub) == [None, *["bytes=200000-"] * 3]


@pytest.mark.parametrize(
    ("where", "status", "headers", "kind"),
    [
        ("storage", 503, {}, DownloadFailed),
        ("storage", 429, {"Retry-After": "9999"}, DownloadFailed),
        ("storage", 403, {}, AccessDenied),
        ("storage", 404, {}, RemoteFileMissing),
        ("resolve", 401, {"X-Error-Code": "GatedRepo"}, AccessDenied),
        ("resolve", 403, {"X-Error-Code": "GatedRepo"}, AccessDenied),
        ("resolve", 404, {"X-Error-Code": "EntryNotFound"}, RemoteFileMissing),
        ("resolve", 404, {"X-Error-Code": "RepoNotFound"}, RemoteFileMissing),
        ("resolve", 401, {}, AccessDenied),
        ("resolve", 500, {}, DownloadFailed),
    ],
)
def test_refusals_leave_nothing_half_done(hub, content, brief, tmp_path, where, status, headers, kind):
    hub.fault(where, status=status, headers=headers, times=99)
    with pytest.raises(kind) as caught:
        fetch(brief)
    assert isinstance(caught.value, StoreError)
    assert caught.value.hint
    assert store.find(ARTIFACT) is None
    assert sum(partials(tmp_path)) == 0
    hub.clear_faults()
    assert fetch(brief).read_bytes() == content  # no lock and no rubbish in the way


@pytest.mark.parametrize("keep", [3, 100, 5000, -100])
def test_a_gguf_that_was_published_truncated(
    hub: LocalHub, tiny_path: Path, brief: Patience, tmp_path: Path, keep: int
):
    hub.put(REPO, NAME, tiny_path.read_bytes()[:keep])
    with pytest.raises(ModelFileError) as caught:
        fetch(brief)
    assert caught.value.message.startswith(f"{REPO}/{NAME}: ")
    assert str(tmp_path) not in caught.value.message
    assert store.find(ARTIFACT) is None
    assert list((tmp_path / "cache").glob("*/blobs/*")) == []


def test_a_page_of_html_is_no_gguf(hub: LocalHub, brief: Patience):
    hub.put(REPO, NAME, b"<html>please log in to the network of this hotel</html>")
    with pytest.raises(ModelFileError, match="not a GGUF file"):
        fetch(brief)


def test_a_caller_can_stop_a_download_and_take_it_up_again(hub: LocalHub, content: bytes, brief: Patience):
    def stop(now: Downloading) -> None:
        if now.bytes_done >= 100_000:
            raise KeyboardInterrupt

    hub.fault("storage", cut_after=200_000)
    with pytest.raises(KeyboardInterrupt):
        store.fetch(ARTIFACT, license=FREE, progress=stop, patience=brief)
    assert fetch(brief).read_bytes() == content
    assert ranges(hub)[1] not in (None, "bytes=0-")


def test_preflight_counts_all_files_and_what_has_arrived(hub, tiny_path, once, monkeypatch, tmp_path):
    free = free_bytes(tmp_path)
    assert free is not None
    check_room(["a.gguf"], round(free / 1.2) - 2**26, tmp_path)
    with pytest.raises(NoDiskSpace) as caught:
        check_room(["a.gguf", "mmproj.gguf"], free, tmp_path / "not" / "there" / "yet")
    assert caught.value.message.startswith("a.gguf and 1 more: ")
    assert "with a margin of 20%" in caught.value.message
    assert str(tmp_path / "not" / "there" / "yet") in caught.value.message
    assert "HF_HUB_CACHE=" in caught.value.hint


# Real full disks: a tmpfs in a mount namespace of the child, gone with it.
FULL = f"""
import os, sys
from pathlib import Path
from edgelfm.errors import NoDiskSpace
from edgelfm.models import store
from edgelfm.models.entry import Artifact, File, License

disk = Path(sys.argv[1])
artifact = Artifact("llama.cpp", "F16", {REPO!r}, (File({NAME!r}),))
terms = License("apache-2.0", "Apache License 2.0", "", "Free.", False)

def fetch(progress=False):
    return store.fetch(artifact, license=terms, cache=disk / "hub", progress=progress)["weights"]

def refused(progress=False):
    try:
        fetch(progress)
    except NoDiskSpace as error:
        return error
    raise SystemExit("it fitted")

def partial():
    return sum(path.stat().st_size for path in disk.glob("hub/*/blobs/*.incomplete"))

def fill(leave):
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    (disk / "filler").write_bytes(bytes(max(0, free - leave)))
"""


def run_on_small_disk(script: str, tmp_path: Path, size: str) -> str:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size={size} small "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    try:
        allowed = subprocess.run([*command, f"mount -t tmpfs small {disk}"], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("needs unshare (util-linux) to make a small disk")
    if allowed.returncode:
        pytest.skip(f"needs user namespaces or root to mount a small disk: {allowed.stderr.strip()}")
    done = subprocess.run(
        [*command, mount, "sh", str(disk), sys.executable, FULL + script], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_disk_that_is_too_small_is_refused_before_the_first_byte(hub: LocalHub, content: bytes, tmp_path: Path):
    said = run_on_small_disk("error = refused(); print(error); print(list(disk.iterdir()))", tmp_path, "256k")
    message, hint, left = said.splitlines()
    assert message.startswith(f"{NAME}: ")
    assert message.endswith(f"and {tmp_path / 'disk' / 'hub'} has 256 KiB free")
    assert "another disk: export HF_HUB_CACHE=" in hint
    assert left == "[]"
    assert hub.served == 0


def test_a_disk_that_fills_up_midway_keeps_what_has_arrived(hub: LocalHub, content: bytes, tmp_path: Path):
    script = """
def compete(now):  # somebody else writes to the same disk
    if not (disk / "filler").exists():
        fill(leave=128 * 1024)

error = refused(compete)
print(error.message)
print(partial())
(disk / "filler").unlink()
print(fetch().stat().st_size)
print(partial())
"""
    message, kept, size, left = run_on_small_disk(script, tmp_path, "2m").splitlines()
    assert "is full after" in message
    assert 0 < int(kept) < len(content)
    assert (int(size), left) == (len(content), "0")
    assert ranges(hub) == [None, f"bytes={kept}-"]


def test_a_file_system_that_takes_no_large_files(hub: LocalHub, content: bytes, tmp_path: Path):
    script = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
print(refused())
print(partial())
"""
    done = subprocess.run(
        [sys.executable, "-c", FULL + script, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    message, hint, kept = done.stdout.splitlines()
    assert "does not take files of more than 98 KiB" in message
    assert "FAT32 ends at 4 GiB" in hint
    assert kept == "100000"


def test_a_cache_that_cannot_be_written(hub: LocalHub, content: bytes, tmp_path: Path, once: Patience):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(StoreError) as caught:
        fetch(once)
    assert isinstance(caught.value, EdgelfmError)
    assert "cannot write to" in caught.value.message
    assert "HF_HUB_CACHE=" in caught.value.hint
