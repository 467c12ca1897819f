"""A saved benchmark comes back as it was, or says what is wrong with it."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgelfm.bench.files import read_json, report_dict, write_json
from edgelfm.bench.report import BenchReport, Conditions, Repetition, Result, Series, Slice, Subject
from edgelfm.errors import BenchFileError
from edgelfm.hardware.host import Host
from tests import bench_reports

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
COUNT = st.integers(-(2**63), 2**70)
CONDITIONS = st.builds(
    Conditions, NUMBER, st.booleans(), st.none() | NUMBER, st.none() | NUMBER, st.none() | st.booleans(), TEXT
)
SERIES = st.builds(
    Series,
    kind=st.sampled_from(["load", "prefill", "decode", "first_token_cold", "first_token_after_edit", "sustained"]),
    tokens=COUNT,
    depth=COUNT,
    repetitions=st.lists(st.builds(Repetition, NUMBER, CONDITIONS, st.none() | NUMBER), max_size=2).map(tuple),
)
SLICE = st.builds(
    Slice, NUMBER, NUMBER, COUNT, st.none() | NUMBER, st.none() | NUMBER, st.none() | st.booleans(), st.none() | NUMBER
)
SUBJECT = st.builds(
    Subject,
    *[TEXT] * 4,
    st.none() | COUNT,
    TEXT,
    st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple),
    st.none() | COUNT,
    *[TEXT] * 3,
)
RESULT = st.builds(
    Result,
    SUBJECT,
    st.lists(SERIES, max_size=2).map(tuple),
    st.lists(SLICE, max_size=2).map(tuple),
    st.none() | COUNT,
    st.none() | COUNT,
    st.none() | NUMBER,
    TEXT,
)
REPORT = st.builds(
    BenchReport,
    *[TEXT] * 3,
    NUMBER,
    st.sampled_from([Host(), bench_reports.EPYC]),
    st.none() | NUMBER,
    st.booleans(),
    st.lists(RESULT, max_size=2).map(tuple),
    st.booleans(),
    st.lists(TEXT, max_size=2).map(tuple),
)


@given(REPORT)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_written_is_read_back_the_same(tmp_path: Path, report: BenchReport) -> None:
    file = tmp_path / "bench.json"
    write_json(report, file)
    assert read_json(file) == report


def test_keys_stand_in_the_order_of_the_report() -> None:
    data = report_dict(bench_reports.example())
    assert list(data) == ["format", "version", *(field.name for field in fields(BenchReport))]
    assert list(data["results"][0]["subject"])[:3] == ["name", "version", "model"]
    assert bench_reports.example().to_dict() == data


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    write_json(bench_reports.example(), tmp_path / "a.json")
    write_json(read_json(tmp_path / "a.json"), tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    write_json(bench_reports.example(), tmp_path / "bench.json")
    return tmp_path / "bench.json"


def changed(file: Path, **changes: Any) -> Path:
    """The same file with some of its keys replaced, or left out where the new value is `...`."""
    data = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in data.items() if value is not ...}))
    return file


def test_keys_of_a_later_edgelfm_are_passed_over(saved: Path) -> None:
    data = json.loads(saved.read_text())
    data["results"][0]["subject"]["colour"] = "green"
    assert read_json(changed(saved, results=data["results"], weather="rain")) == bench_reports.example()


def test_keys_with_a_default_may_be_missing(saved: Path) -> None:
    assert read_json(changed(saved, notes=..., interrupted=...)) == bench_reports.example()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": 2}, "version: 2 was written by a later edgelfm"),
        ({"version": "1"}, "format: this is no saved benchmark"),
        ({"version": True}, "format: this is no saved benchmark"),
        ({"format": ...}, "format: this is no saved benchmark"),
        ({"format": "llama-bench"}, "format: this is no saved benchmark"),
        ({"seconds": "41"}, "seconds: "),
        ({"started_at": ...}, "started_at: Field required"),
        ({"results": [{"subject": {}}]}, "results.0.subject.name: Field required"),
        ({"host": {"cpu": {"logical_cores": 2.5}}}, "host.cpu.logical_cores: "),
    ],
)
def test_what_is_wrong_is_named(saved: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BenchFileError) as caught:
        read_json(changed(saved, **changes))
    assert f"{saved}: {said}" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", "{", "[1]", '"bench"', "[" * 100_000, '{"seconds": NaN}'])
def test_what_is_no_report_at_all(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(BenchFileError, match=r"x\.json: "):
        read_json(tmp_path / "x.json")


def test_files_that_are_not_there_or_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(BenchFileError, match="cannot be read: No such file"):
        read_json(tmp_path / "none.json")
    with pytest.raises(BenchFileError, match="cannot be written"):
        write_json(bench_reports.alone(), tmp_path / "no folder" / "bench.json")


def test_a_figure_that_json_cannot_hold_leaves_the_old_file(saved: Path) -> None:
    before = saved.read_bytes()
    broken = BenchReport("0.1.0", "", "", float("nan"), Host(), None, True, ())
    with pytest.raises(BenchFileError, match="a figure that JSON cannot hold"):
        write_json(broken, saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["bench.json"]


def test_a_path_that_is_no_unicode_is_written_with_question_marks(tmp_path: Path) -> None:
    report = BenchReport("0.1.0", "", "edgelfm bench /models/\udcff.gguf", 1.0, Host(), None, True, ())
    write_json(report, tmp_path / "bench.json")
    assert read_json(tmp_path / "bench.json").command == "edgelfm bench /models/?.gguf"
