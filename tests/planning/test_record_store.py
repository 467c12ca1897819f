"""Records outlive the process, other writers, kills and garbage; a bad file costs a measurement and never an error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from edgelfm.planning import record_store
from edgelfm.planning.records import Record, Trial

MakeRecord = Callable[..., Record]

#: Keeps one record after another, under names of its own, from a template in a file.
WRITER = """
import json, sys
from dataclasses import replace
from pathlib import Path
from edgelfm.planning import record_store
from edgelfm.planning.record_codec import read_record
template = read_record(json.loads(Path(sys.argv[1]).read_text()))
print("ready", flush=True)
for index in range(int(sys.argv[3])):
    problem = record_store.keep(replace(template, model=f"{sys.argv[2]}-{index}"))
    assert problem is None, problem
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGELFM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def writer(tmp_path: Path, make_record: MakeRecord) -> Callable[[str, int], subprocess.Popen[str]]:
    """`writer("a", 20)`: another process that keeps twenty records."""
    template = tmp_path / "template.json"
    template.write_text(json.dumps(asdict(make_record())), encoding="utf-8")

    def start(name: str, count: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WRITER, str(template), name, str(count)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    return start


def test_nothing_was_measured_yet(cache: Path) -> None:
    assert record_store.look() == record_store.Stored()
    assert not cache.exists(), "looking creates nothing"


def test_what_is_kept_is_read_again(make_record: MakeRecord) -> None:
    one = make_record(tried=(Trial("decode", "threads", "1", 0.02),))
    other = make_record(quantization="Q8_0", measured_at="2026-11-25T10:00:00+00:00")
    assert record_store.keep(one) is None
    assert record_store.keep(other) is None
    assert record_store.read() == (one, other)


def test_a_new_measurement_of_the_same_takes_the_place_of_the_old(make_record: MakeRecord) -> None:
    record_store.keep(make_record(decode=0.02))
    record_store.keep(make_record(decode=0.01))
    assert [one.decode.seconds for one in record_store.read()] == [0.01]


@pytest.mark.parametrize(
    "difference",
    [
        {"host": "other"}, {"backend": "mlx"}, {"build": "0.4"}, {"model": "lfm2-30x2048-00"},
        {"quantization": "Q8_0"}, {"cores_taken": 1}, {"device": "gpu"},
    ],
)  # fmt: skip
def test_a_measurement_of_something_else_is_kept_beside_it(
    difference: dict[str, object], make_record: MakeRecord
) -> None:
    record_store.keep(make_record())
    record_store.keep(replace(make_record(), **difference))
    assert len(record_store.read()) == 2


def test_one_host_is_forgotten_and_others_are_not(make_record: MakeRecord) -> None:
    record_store.keep(make_record())
    record_store.keep(replace(make_record(), host="another board"))
    assert record_store.forget(make_record().host) is None
    assert [one.host for one in record_store.read()] == ["another board"]


def test_the_file_does_not_grow_without_end(make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_store, "LIMIT", 3)
    for day in (14, 11, 13, 15, 12):
        record_store.keep(replace(make_record(), model=str(day), measured_at=f"2026-11-{day}T00:00:00+00:00"))
    assert [one.model for one in record_store.read()] == ["13", "14", "15"], "the oldest go"


def test_senseless_times_are_not_kept(make_record: MakeRecord, cache: Path) -> None:
    senseless = make_record(decode=0.0)
    assert record_store.keep(senseless) == "the times measured make no sense"
    assert not cache.exists()


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("\x00\x00\x00", "not JSON"),
        ("[]", "written by another version"),
        ("null", "written by another version"),
        ('{"schema": 2, "records": []}', "written by another version"),
        ('{"schema": 1, "records": {}}', "written by another version"),
        ('{"schema": 1, "records": [1]}', "record 1 is left out: int instead of an object"),
        ('{"schema": 1, "records": [{}]}', "record 1 is left out: host is missing"),
    ],
)
def test_garbage_costs_a_measurement_and_is_told(text: str, remark: str, cache: Path, make_record: MakeRecord) -> None:
    cache.mkdir()
    record_store.path().write_text(text, encoding="utf-8")
    stored = record_store.look()
    assert stored.records == ()
    assert len(stored.remarks) == 1
    assert remark in stored.remarks[0]
    assert str(record_store.path()) in stored.remarks[0]
    assert record_store.keep(make_record()) is None
    assert record_store.look() == record_store.Stored((make_record(),))


def test_bytes_that_are_no_text_are_told(cache: Path) -> None:
    cache.mkdir()
    record_store.path().write_bytes(b"\xff\xfe\x80")
    assert "not JSON" in record_store.look().remarks[0]


def test_one_bad_record_does_not_cost_the_others(cache: Path, make_record: MakeRecord) -> None:
    record_store.keep(make_record())
    data = json.loads(record_store.path().read_text(encoding="utf-8"))
    data["records"].insert(0, {**data["records"][0], "threads": -1})
    record_store.path().write_text(json.dumps(data), encoding="utf-8")
    stored = record_store.look()
    assert stored.records == (make_record(),)
    assert "record 1 is left out: its figures make no sense" in stored.remarks[0]


def test_a_file_far_too_large_is_not_read(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.mkdir()
    monkeypatch.setattr(record_store, "LARGEST", 10)
    record_store.path().write_text(" " * 11, encoding="utf-8")
    assert "too large" in record_store.look().remarks[0]


def test_where_nothing_can_be_written_the_caller_is_told(cache: Path, make_record: MakeRecord) -> None:
    cache.write_text("a file where the folder should be")
    assert str(record_store.path()) in (record_store.keep(make_record()) or "")
    assert record_store.read() == ()


def test_a_folder_in_the_place_of_the_file_is_told(make_record: MakeRecord) -> None:
    record_store.path().mkdir(parents=True)
    assert record_store.look().remarks
    assert record_store.keep(make_record()) is not None


def test_two_processes_and_two_threads_at_once_lose_nothing(
    make_record: MakeRecord, writer: Callable[[str, int], subprocess.Popen[str]]
) -> None:
    def in_a_thread(name: str) -> None:
        for index in range(15):
            record_store.keep(replace(make_record(), model=f"{name}-{index}"))

    processes = [writer(name, 15) for name in ("a", "b")]
    threads = [threading.Thread(target=in_a_thread, args=(name,)) for name in ("c", "d")]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert {one.model for one in record_store.read()} == {f"{name}-{index}" for name in "abcd" for index in range(15)}


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")
def test_a_writer_that_is_killed_leaves_a_whole_file_and_no_lock(
    make_record: MakeRecord, writer: Callable[[str, int], subprocess.Popen[str]]
) -> None:
    ours = make_record(measured_at="2027-01-01T00:00:00+00:00")  # the latest, so that the bound takes others first
    record_store.keep(replace(ours, model="before"))
    for round_ in range(4):
        process = writer(f"killed-{round_}", 100_000)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        seen = len(record_store.read())
        while len(record_store.read()) < min(seen + 5 + 3 * round_, record_store.LIMIT):
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        stored = record_store.look()
        assert not stored.remarks
        assert record_store.keep(replace(ours, model=f"after-{round_}")) is None
    models = {one.model for one in record_store.read()}
    assert {"before", "after-0", "after-3"} <= models
