"""A file is the old one or the new one, whatever happens while it is written."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edgelfm.atomic import write_atomically
from edgelfm.errors import NoDiskSpace

# Opens its temporary file, says so, and waits to be killed.
_STUCK = """
import sys
from pathlib import Path
from edgelfm import atomic

def wait(file, data):
    print("writing", flush=True)
    sys.stdin.read()

atomic._write_all = wait
atomic.write_atomically(Path(sys.argv[1]), [b"new"])
"""


def _stuck(path: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", _STUCK, str(path)], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "writing\n"
    return child


def test_parts_are_joined_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, [b"one ", bytearray(b"two "), memoryview(b"three")])
    write_atomically(path, [b"again"])
    assert path.read_bytes() == b"again"
    assert os.listdir(tmp_path) == ["file"]


def test_what_a_killed_writer_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    path = tmp_path / "file"
    dead, alive = _stuck(path), _stuck(path)
    try:
        dead.kill()
        dead.wait()
        assert len(os.listdir(tmp_path)) == 2
        write_atomically(path, [b"mine"])
        assert path.read_bytes() == b"mine"
        assert len(os.listdir(tmp_path)) == 2
        alive.communicate("", timeout=10)  # it goes on and finds its file where it was
        assert alive.returncode == 0
        assert os.listdir(tmp_path) == ["file"]
    finally:
        for child in (dead, alive):
            child.kill()
            child.communicate()


def test_a_link_is_followed_and_permissions_stay(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"old")
    real.chmod(0o640)
    link.symlink_to(real)
    write_atomically(link, [b"new"])
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    assert real.stat().st_mode & 0o777 == 0o640


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127)  # 254 bytes
    write_atomically(path, [b"new"])
    assert path.read_bytes() == b"new"


def test_a_file_that_does_not_fit_is_refused_before_it_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1024))
    with pytest.raises(NoDiskSpace, match=r"2\.0 KiB cannot be written: 1\.0 KiB are free there"):
        write_atomically(path, [b"x" * 2048])
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_disk_that_fills_up_meanwhile_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limit[1]))
    try:
        with pytest.raises(NoDiskSpace, match="File too large"):
            write_atomically(path, [b"x" * 10_000])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_threads_that_write_the_same_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    whole = [bytes([65 + number]) * 100_000 for number in range(4)]
    errors: list[BaseException] = []

    def write(data: bytes) -> None:
        try:
            for _ in range(5):
                write_atomically(path, [data])
        except BaseException as error:  # noqa: BLE001  (looked at below)
            errors.append(error)

    threads = [threading.Thread(target=write, args=(data,)) for data in whole]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert path.read_bytes() in whole
    assert os.listdir(tmp_path) == ["file"]
