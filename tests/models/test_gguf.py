"""GGUF headers: read as the reference reads them, by range as well, and refused when they are hostile."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgelfm.errors import ModelFileError
from edgelfm.models.bytesource import HubBytes
from edgelfm.models.gguf import GgufHeader, Skipped, read_header

U8, BOOL, STRING, ARRAY, U32, U64 = 0, 7, 8, 9, 4, 10


class Memory:
    """A source of bytes of unknown size, as a hub that does not tell it."""

    name = "memory"

    def __init__(self, data: bytes, size: int | None = None) -> None:
        self.data, self.size = data, size
        self.reads: list[tuple[int, int]] = []

    def read(self, start: int, length: int) -> bytes:
        self.reads.append((start, length))
        return self.data[start : start + length]


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def pair(key: str | bytes, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def tensor(name: str, shape: tuple[int, ...] = (32,), kind: int = 0, offset: int = 0, dims: int | None = None) -> bytes:
    sizes = struct.pack(f"<{len(shape)}Q", *shape)
    return (
        text(name) + struct.pack("<I", len(shape) if dims is None else dims) + sizes + struct.pack("<IQ", kind, offset)
    )


def header(
    pairs: list[bytes] | None = None,
    tensors: list[bytes] | None = None,
    *,
    magic: bytes = b"GGUF",
    version: int = 3,
    pair_count: int | None = None,
    tensor_count: int | None = None,
) -> bytes:
    pairs, tensors = pairs or [], tensors or []
    counts = (
        len(tensors) if tensor_count is None else tensor_count,
        len(pairs) if pair_count is None else pair_count,
    )
    return magic + struct.pack("<IQQ", version, *counts) + b"".join(pairs + tensors)


def test_reads_what_the_reference_reader_reads(tiny_path: Path) -> None:
    ours, reference = read_header(tiny_path), gguf.GGUFReader(tiny_path)
    assert [(t.name, t.type, t.shape, t.bytes, ours.data_offset + t.offset) for t in ours.tensors] == [
        (t.name, t.tensor_type.name, tuple(int(s) for s in t.shape), int(t.n_bytes), int(t.data_offset))
        for t in reference.tensors
    ]
    assert ours.data_offset == reference.data_offset
    for key, value in ours.metadata.items():
        field = reference.fields[key]
        expected = len(field.data) if isinstance(value, Skipped) else field.contents()
        got = value.count if isinstance(value, Skipped) else list(value) if isinstance(value, tuple) else value
        assert got == expected, key


def test_the_starter_is_as_long_as_its_header_promises(starter_path: Path) -> None:
    found = read_header(starter_path)
    assert found.file_bytes_expected == starter_path.stat().st_size
    assert found.metadata["tokenizer.ggml.tokens"] == Skipped(49_152)


def test_long_arrays_are_kept_on_request(starter_path: Path) -> None:
    tokens = read_header(starter_path, keep=("tokenizer.ggml.tokens",)).metadata["tokenizer.ggml.tokens"]
    assert isinstance(tokens, tuple)
    assert (len(tokens), tokens[1]) == (49_152, "<|im_start|>")


def test_a_header_is_read_by_range_and_no_weight_with_it(
    starter_path: Path, folder_hub: object, publish: Callable[..., None]
) -> None:
    publish("somebody/model", "model.gguf", starter_path.read_bytes())
    hub = folder_hub
    remote = read_header(HubBytes(hub, "somebody/model", "model.gguf", starter_path.stat().st_size))  # type: ignore[arg-type]
    local = read_header(starter_path)
    assert (remote.metadata, remote.tensors) == (local.metadata, local.tensors)
    assert hub.bytes_read < 4 * 1024**2  # type: ignore[attr-defined]


def test_a_source_need_not_know_its_size(tiny_path: Path) -> None:
    data = tiny_path.read_bytes()
    assert read_header(Memory(data)).tensors == read_header(tiny_path).tensors


def test_a_fixed_width_array_is_skipped_without_reading_it() -> None:
    numbers = pair("scores", ARRAY, struct.pack("<IQ", U32, 2_000_000) + bytes(8_000_000))
    source = Memory(header([numbers, pair("after", U8, b"\x07")]))
    assert read_header(source).metadata == {"scores": Skipped(2_000_000), "after": 7}
    assert sum(length for _, length in source.reads) < 2_000_000


@pytest.mark.parametrize("missing", [1, 1000, 500_000])
def test_a_truncated_file_is_told_with_both_sizes(tiny_path: Path, tmp_path: Path, missing: int) -> None:
    whole = tiny_path.read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(whole[:-missing])
    with pytest.raises(ModelFileError) as refused:
        read_header(cut)
    assert str(cut) in refused.value.message
    assert str(len(whole) - missing) in refused.value.message
    assert "download it again" in refused.value.hint


NESTED = struct.pack("<IQ", ARRAY, 1)
HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "html": (b"<!DOCTYPE html><html>", "not a GGUF file"),
    "pickle": (b"PK\x03\x04" + bytes(40), "not a GGUF file"),
    "version 1": (header(version=1), "version 1 is not known"),
    "version 99": (header(version=99), "version 99 is not known"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
    "ends after the magic": (b"GGUF", "ends after 4 bytes inside its header"),
    "many entries": (header(pair_count=2**63), "claims 9223372036854775808 metadata entries"),
    "more entries than bytes": (header(pair_count=60_000), "more than fit into the file's 24 bytes"),
    "many tensors": (header(tensor_count=2**40), "tensors; 65536 are allowed"),
    "long key": (header([struct.pack("<Q", 2**40) + bytes(8)]), "a metadata key claims 1099511627776 bytes"),
    "empty key": (header([pair("", U8, b"\x01")]), "key is empty"),
    "key beyond the end": (header([struct.pack("<Q", 60_000) + bytes(8)]), "ends after 40 bytes"),
    "key of broken text": (header([pair(b"\xff\xfe", U8, b"\x01")]), "is not UTF-8"),
    "value of broken text": (header([pair("name", STRING, text(b"\xc3"))]), "the text of 'name' is not UTF-8"),
    "long value": (header([pair("name", STRING, struct.pack("<Q", 2**62))]), "claims 4611686018427387904 bytes"),
    "same key twice": (header([pair("a", U8, b"\x01"), pair("a", U8, b"\x02")]), "'a' is given twice"),
    "unknown type": (header([pair("a", 77, b"\x01")]), "unknown type 77"),
    "truth value of 2": (header([pair("a", BOOL, b"\x02")]), "truth value of 2"),
    "array of arrays": (header([pair("a", ARRAY, NESTED * 50)]), "array of arrays"),
    "array of an unknown type": (header([pair("a", ARRAY, struct.pack("<IQ", 13, 1))]), "unknown type 13"),
    "endless array": (header([pair("a", ARRAY, struct.pack("<IQ", U8, 2**50))]), "claims 1125899906842624 values"),
    "array beyond the end": (header([pair("a", ARRAY, struct.pack("<IQ", U64, 9_000))]), "more than fit"),
    "array of long texts": (
        header([pair("a", ARRAY, struct.pack("<IQ", STRING, 5_000) + struct.pack("<Q", 2**63) * 5_000)]),
        "claims 9223372036854775808 bytes",
    ),
    "array of texts that ends": (
        header([pair("a", ARRAY, struct.pack("<IQ", STRING, 5_000) + (text("x" * 20_000) + bytes(8 * 4_998)))]),
        "inside its header",
    ),
    "alignment 0": (header([pair("general.alignment", U32, struct.pack("<I", 0))]), "not a power of two"),
    "alignment 24": (header([pair("general.alignment", U32, struct.pack("<I", 24))]), "not a power of two"),
    "alignment text": (header([pair("general.alignment", STRING, text("32"))]), "not a power of two"),
    "five dimensions": (header(tensors=[tensor("t", (1,) * 5)]), "has 5 dimensions"),
    "no dimensions": (header(tensors=[tensor("t", ())]) + bytes(64), "has 0 dimensions"),
    "empty dimension": (header(tensors=[tensor("t", (32, 0))]), "impossible shape 32 x 0"),
    "overflowing shape": (header(tensors=[tensor("t", (2**32, 2**32))]), "impossible shape"),
    "unknown tensor type": (header(tensors=[tensor("t", kind=99)]), "a type that is not known here"),
    "withdrawn tensor type": (header(tensors=[tensor("t", kind=4)]), "a type that is not known here"),
    "broken blocks": (header(tensors=[tensor("t", (33,), kind=2)]), "not whole blocks of Q4_0"),
    "long tensor name": (header(tensors=[tensor("t" * 64)]), "a tensor's name claims 64 bytes"),
    "nameless tensor": (header(tensors=[tensor("")]), "has no name"),
    "same tensor twice": (header(tensors=[tensor("t"), tensor("t", offset=128)]), "'t' is given twice"),
    "offset beyond": (header(tensors=[tensor("t", offset=2**60)]), "where 0 would follow"),
    "offset unaligned": (header(tensors=[tensor("t"), tensor("u", offset=129)]), "where 128 would follow"),
    "overlapping": (header(tensors=[tensor("t"), tensor("u", offset=64)]), "lies at 64"),
    "no weights behind the header": (header(tensors=[tensor("t", (1024, 1024))]), "truncated: it has"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_bad_header_is_refused_and_says_why(case: str, tmp_path: Path) -> None:
    data, message = HOSTILE[case]
    path = tmp_path / "bad.gguf"
    path.write_bytes(data)
    with pytest.raises(ModelFileError) as refused:
        read_header(path)
    assert message in refused.value.message
    assert refused.value.message.startswith(str(path))
    assert refused.value.hint


def test_claims_are_not_believed_where_the_size_is_unknown() -> None:
    for case in ("many entries", "long key", "long value", "endless array", "array of long texts", "overflowing shape"):
        source = Memory(HOSTILE[case][0])
        with pytest.raises(ModelFileError):
            read_header(source)
        assert max(length for _, length in source.reads) <= 4 * 1024**2


@pytest.mark.parametrize("name", ["missing.gguf", "."])
def test_what_cannot_be_read_says_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelFileError, match=r"cannot be read|is not a file"):
        read_header(tmp_path / name)


def read_or_refuse(data: bytes) -> GgufHeader | None:
    try:
        return read_header(Memory(data, len(data)))
    except ModelFileError:
        return None


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 2**20), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6),
    cut=st.integers(0, 2**20),
)
def test_a_damaged_header_is_read_or_refused_and_nothing_else(
    tiny_path: Path, changes: list[tuple[int, bytes]], cut: int
) -> None:
    whole = tiny_path.read_bytes()
    sound = read_header(tiny_path)
    data = bytearray(whole)
    for where, replacement in changes:
        at = where % sound.data_offset
        data[at : at + len(replacement)] = replacement
    if cut % 4 == 0:
        del data[cut % len(data) :]
    found = read_or_refuse(bytes(data))
    if found is not None:
        assert found.file_bytes_expected <= len(data)
        assert len(found.tensors) <= len(sound.tensors)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_noise_behind_the_magic_is_read_or_refused(noise: bytes) -> None:
    read_or_refuse(b"GGUF" + struct.pack("<I", 3) + noise)
