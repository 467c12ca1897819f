"""A state file is read as it was written, or refused with a reason."""

from __future__ import annotations

import json
import struct
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelfm.backends.base import State
from edgelfm.backends.state_file import MAGIC, VERSION, read_state, write_state
from edgelfm.errors import StateRefused, StoreError
from tests.backends.conftest import Open

SMALL = State({"runtime": "test", "model": "ä"}, (1, 2, 70_000), b"data", ((1, b"one", b""), (2, b"", b"row")))

_tokens = st.lists(st.integers(0, 2**31 - 1), max_size=50).map(tuple)


@st.composite
def _states(draw: st.DrawFn) -> State:
    tokens = draw(_tokens)
    marks = st.tuples(st.integers(0, len(tokens)), st.binary(max_size=20), st.binary(max_size=20))
    identity = draw(st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=4))
    data = draw(st.binary(max_size=200))
    return State(
        identity,
        tokens,
        draw(st.sampled_from([data, bytearray(data), memoryview(data)])),
        tuple(draw(st.lists(marks, max_size=4))),
    )


def _same(left: State, right: State) -> bool:
    return (left.identity, left.tokens, bytes(left.data), left.checkpoints) == (
        right.identity,
        right.tokens,
        bytes(right.data),
        right.checkpoints,
    )


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("states") / "some.state"


@given(state=_states())
@settings(max_examples=50, deadline=None)
def test_what_is_written_is_read(state: State, file: Path) -> None:
    write_state(file, state)
    assert _same(read_state(file), state)


def test_a_real_state_goes_to_disk_and_into_another_session(
    tmp_path: Path, open_session: Open, tiny_path: Path
) -> None:
    prompt = list(range(20, 320))
    first, second = open_session(tiny_path), open_session(tiny_path)
    first.prime(prompt)
    exported = first.export_state(prompt)
    assert exported is not None
    write_state(tmp_path / "tiny.state", exported)
    second.import_state(read_state(tmp_path / "tiny.state"))
    assert second.prime([*prompt, 5, 6]).cached_tokens == len(prompt)
    # Back to the last checkpoint before the change, which came with the file.
    again = second.prime([*prompt[:-1], 7])
    assert 0 < again.cached_tokens < len(prompt)
    assert again.cached_tokens == max(length for length, *_ in exported.checkpoints if length < len(prompt))


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.state"
    write_state(path, SMALL)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(StateRefused, match="is truncated" if length else "is no state"):
            read_state(path)


def test_how_much_is_missing_is_said(tmp_path: Path) -> None:
    path = tmp_path / "some.state"
    write_state(path, State({}, (1,), bytes(1000)))
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(StateRefused, match=f"is truncated: 600 bytes of {size} are missing"):
        read_state(path)


def test_a_file_with_any_bit_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.state"
    write_state(path, SMALL)
    whole = bytearray(path.read_bytes())
    for bit in range(len(whole) * 8):
        whole[bit // 8] ^= 1 << bit % 8
        path.write_bytes(whole)
        with pytest.raises(StateRefused):
            read_state(path)
        whole[bit // 8] ^= 1 << bit % 8


@given(
    data=st.binary(max_size=300) | st.binary(max_size=300).map(lambda rest: MAGIC + struct.pack("<I", VERSION) + rest)
)
@settings(max_examples=100, deadline=None)
def test_anything_else_is_refused(data: bytes, file: Path) -> None:
    file.write_bytes(data)
    with pytest.raises(StateRefused):
        read_state(file)


def test_bytes_after_the_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.state"
    write_state(path, SMALL)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(StateRefused, match="4 bytes follow its end"):
        read_state(path)


def test_a_later_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.state"
    path.write_bytes(MAGIC + struct.pack("<III", VERSION + 1, 0, 0))
    with pytest.raises(StateRefused, match=f"has format {VERSION + 1}, and this edgelfm reads {VERSION}"):
        read_state(path)


def _with_header(path: Path, header: object) -> Path:
    raw = json.dumps(header).encode()
    path.write_bytes(MAGIC + struct.pack("<III", VERSION, len(raw), zlib.crc32(raw)) + raw + b"rest")
    return path


GOOD = {"identity": {}, "tokens": 0, "checkpoints": [], "data": 0}


@pytest.mark.parametrize(
    "header",
    [
        None,
        [],
        {},
        GOOD | {"identity": {"model": 3}},
        GOOD | {"identity": []},
        GOOD | {"tokens": -1},
        GOOD | {"tokens": True},
        GOOD | {"tokens": 1.5},
        GOOD | {"data": "many"},
        GOOD | {"checkpoints": [[1]]},
        GOOD | {"checkpoints": [[1, 0]]},
        GOOD | {"checkpoints": [[1, 0, 0]]},
        GOOD | {"checkpoints": [[0, 0, -1]]},
        GOOD | {"checkpoints": 7},
    ],
    ids=repr,
)
def test_a_header_that_makes_no_sense_is_refused(header: object, tmp_path: Path) -> None:
    with pytest.raises(StateRefused, match="is damaged"):
        read_state(_with_header(tmp_path / "some.state", header))


def test_a_huge_claim_allocates_nothing(tmp_path: Path) -> None:
    many = _with_header(tmp_path / "many.state", GOOD | {"tokens": 1 << 60, "data": 1 << 62})
    long = tmp_path / "long.state"
    long.write_bytes(MAGIC + struct.pack("<III", VERSION, 0xFFFFFFFF, 0))
    tracemalloc.start()
    try:
        with pytest.raises(StateRefused, match="is truncated"):
            read_state(many)
        with pytest.raises(StateRefused, match=r"its header claims 4\.00 GiB"):
            read_state(long)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot write"):
        write_state(tmp_path / "nowhere" / "some.state", SMALL)
    with pytest.raises(FileNotFoundError):
        read_state(tmp_path / "nowhere" / "some.state")
    with pytest.raises(StateRefused, match="cannot be read: Is a directory"):
        read_state(tmp_path)
