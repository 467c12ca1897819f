"""Looking into a file without the onnx package, against what the onnx package says."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelfm.backends.onnx.graph import read_graph
from edgelfm.backends.onnx.protobuf import fields


def test_readers_and_weights_are_those_of_the_onnx_package(model: Path) -> None:
    import onnx

    path = model if model.is_file() else model / "model.onnx"
    graph, theirs = read_graph(path), onnx.load(path, load_external_data=False).graph
    readers: dict[str, set[str]] = {}
    for node in theirs.node:
        for name in node.input:
            readers.setdefault(name, set()).add(node.op_type)
    assert graph.readers == readers
    places = {entry.value for t in theirs.initializer for entry in t.external_data if entry.key == "location"}
    assert {file.name for file in graph.weights} == places
    assert graph.bytes == sum(file.stat().st_size for file in (path, *graph.weights))


def test_attention_that_may_share_is_told_from_attention_that_may_not(published: Path, plain: Path) -> None:
    names = ["past_key_values.2.key", "past_key_values.2.value"]
    assert read_graph(published).read_only_by("GroupQueryAttention", names)
    assert not read_graph(plain).read_only_by("GroupQueryAttention", names)


def test_what_reads_inside_a_branch_counts(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1])
    body = helper.make_graph([helper.make_node("Identity", ["past"], ["out"])], "body", [], [out])
    branch = helper.make_node("If", ["choice"], ["out"], then_branch=body, else_branch=body)
    inputs = [helper.make_tensor_value_info("past", TensorProto.FLOAT, [1])]
    inputs.append(helper.make_tensor_value_info("choice", TensorProto.BOOL, [1]))
    onnx.save(helper.make_model(helper.make_graph([branch], "g", inputs, [out])), tmp_path / "model.onnx")
    assert read_graph(tmp_path / "model.onnx").readers["past"] == {"Identity"}


@given(st.binary(max_size=60))
def test_any_bytes_are_fields_or_a_value_error(content: bytes) -> None:
    try:
        found = list(fields(memoryview(content)))
    except ValueError:
        return
    assert all(isinstance(value, int) or len(value) <= len(content) for _, value in found)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"\x08\x96\x01", [(1, 150)]),
        (b"\x12\x02hi", [(2, b"hi")]),
        (b"\x1d\x01\x00\x00\x00", [(3, b"\x01\x00\x00\x00")]),
        (b"\x21" + bytes(8), [(4, bytes(8))]),
    ],
)
def test_the_four_kinds_of_fields(content: bytes, found: list[tuple[int, object]]) -> None:
    assert list(fields(memoryview(content))) == found
