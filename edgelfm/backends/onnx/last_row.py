"""A graph that gives logits for the last token only, made of one that gives them for all.

A prompt of 512 tokens and 65,536 words would be 134 MB of logits that nobody reads, and a fifth of the work at 350M. In
front of the multiplication that makes logits, one operator is put in that lets the last row through. Where what is
multiplied is rounded to 8 bits first, it is put in front of that. The graph is changed as it is handed to ONNX Runtime;
its file stays what it is. As ONNX Runtime then does not see that file, and reads weights from one folder only, those
that are links, as in the Hub's cache, are named where they really lie.
"""

from __future__ import annotations

import mmap
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .protobuf import encode, fields, texts

_MODEL_GRAPH, _GRAPH_NODE, _GRAPH_INITIALIZER = 7, 1, 5
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_OPERATOR = 1, 2, 3, 4
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW, _TENSOR_EXTERNAL = 1, 2, 8, 9, 13
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_INT64 = 7
_MULTIPLICATIONS = ("MatMul", "MatMulNBits")
_PASSING = ("Cast", "Identity")
#: As onnxruntime's own quantizer writes a multiplication by weights in 8 bits, from its end to its beginning.
_SCALE, _WHOLE_NUMBERS, _ROUNDING = "Mul", "MatMulInteger", "DynamicQuantizeLinear"
_LARGEST_BYTES = 256 * 1024**2  # a graph with its weights inside is better left in its file
_NAME = "edgelfm/last_row"
Node = tuple[int, memoryview]  # its place among the fields of the graph, and what it says


@dataclass(frozen=True, slots=True)
class Changed:
    """A graph in memory."""

    graph: bytes
    folder: Path  # that the places of its weights are told from


def last_row_only(path: Path, logits: str, other_ways: set[str]) -> Changed | None:
    """The changed graph. None if logits are not made by a single multiplication, or an input of `other_ways` says
    already which of them are wanted.
    """
    if path.stat().st_size > _LARGEST_BYTES:
        return None
    with path.open("rb") as file:
        model = list(fields(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))))
    graphs = [value for number, value in model if number == _MODEL_GRAPH and isinstance(value, memoryview)]
    if len(graphs) != 1:
        return None
    graph = list(fields(graphs[0]))
    nodes: dict[str, Node] = {}
    readers: Counter[str] = Counter()
    for place, (number, value) in enumerate(graph):
        if number == _GRAPH_NODE and isinstance(value, memoryview):
            readers.update(inputs := texts(value, _NODE_INPUT))
            if other_ways.intersection(inputs):
                return None
            for output in texts(value, _NODE_OUTPUT):
                nodes[output] = place, value
    found = _first_for_logits(nodes, readers, logits)
    if found is None:
        return None
    place, node = found
    wide = texts(node, _NODE_INPUT)[0]
    graph[place] = _GRAPH_NODE, memoryview(_reading(node, f"{_NAME}/row"))
    try:
        folder, places = _really(path, graph)
    except ValueError:  # several disks of Windows have nothing in common
        return None
    for number, (kind, value) in enumerate(graph):
        if places and kind == _GRAPH_INITIALIZER and isinstance(value, memoryview) and _location(value):
            graph[number] = kind, memoryview(_moved(value, places))
    graph.insert(place, (_GRAPH_NODE, memoryview(_slice(wide))))
    bounds = {"begin": -1, "end": 2**63 - 1, "axis": 1}
    graph += [(_GRAPH_INITIALIZER, memoryview(_number(f"{_NAME}/{name}", value))) for name, value in bounds.items()]
    changed = memoryview(b"".join(encode(number, value) for number, value in graph))
    whole = b"".join(encode(number, changed if number == _MODEL_GRAPH else value) for number, value in model)
    return Changed(whole, folder)


def _really(path: Path, graph: list[tuple[int, int | memoryview]]) -> tuple[Path, dict[str, str]]:
    """Where the weights of the graph at `path` lie: a folder, and by their places those from that folder.

    There are none of these where it is the folder of the graph.
    """
    tensors = (value for kind, value in graph if kind == _GRAPH_INITIALIZER and isinstance(value, memoryview))
    files = {place: (path.parent / place).resolve() for tensor in tensors if (place := _location(tensor))}
    here = path.parent.resolve()
    if all(file.is_relative_to(here) for file in files.values()):
        return path.parent, {}
    folder = Path(os.path.commonpath([file.parent for file in files.values()]))
    return folder, {place: file.relative_to(folder).as_posix() for place, file in files.items()}


def _location(tensor: memoryview) -> str:
    """The file that a tensor lies in, empty if it is in the graph."""
    for number, entry in fields(tensor):
        if number == _TENSOR_EXTERNAL and isinstance(entry, memoryview) and texts(entry, _ENTRY_KEY) == ["location"]:
            return next(iter(texts(entry, _ENTRY_VALUE)), "")
    return ""


def _moved(tensor: memoryview, places: Mapping[str, str]) -> bytes:
    """A tensor that lies in another file."""
    parts = list(fields(tensor))
    for number, (kind, entry) in enumerate(parts):
        if kind == _TENSOR_EXTERNAL and isinstance(entry, memoryview) and texts(entry, _ENTRY_KEY) == ["location"]:
            words = ((_ENTRY_KEY, "location"), (_ENTRY_VALUE, places[_location(tensor)]))
            moved = b"".join(encode(field, memoryview(text.encode())) for field, text in words)
            parts[number] = kind, memoryview(moved)
    return b"".join(encode(number, value) for number, value in parts)


def _first_for_logits(nodes: Mapping[str, Node], readers: Mapping[str, int], logits: str) -> Node | None:
    """The first of the nodes that nothing but logits comes of. None if they are not made as is known here."""
    found, scaled = nodes.get(logits), False
    while found is not None and (operator := texts(found[1], _NODE_OPERATOR)[0]) in (*_PASSING, _SCALE):
        scaled |= operator == _SCALE
        found = nodes.get(texts(found[1], _NODE_INPUT)[0])
    if found is None or (not scaled and operator in _MULTIPLICATIONS):
        return found
    if operator != _WHOLE_NUMBERS or readers[texts(found[1], _NODE_INPUT)[0]] > 1:
        return None
    found = nodes.get(texts(found[1], _NODE_INPUT)[0])
    return found if found is not None and texts(found[1], _NODE_OPERATOR)[0] == _ROUNDING else None


def _reading(node: memoryview, name: str) -> bytes:
    """A node whose first input is another."""
    parts = list(fields(node))
    first = next(place for place, (number, _) in enumerate(parts) if number == _NODE_INPUT)
    parts[first] = _NODE_INPUT, memoryview(name.encode())
    return b"".join(encode(number, value) for number, value in parts)


def _slice(wide: str) -> bytes:
    names = [wide, *(f"{_NAME}/{name}" for name in ("begin", "end", "axis"))]
    parts = [(_NODE_INPUT, name) for name in names]
    parts += [(_NODE_OUTPUT, f"{_NAME}/row"), (_NODE_NAME, _NAME), (_NODE_OPERATOR, "Slice")]
    return b"".join(encode(number, memoryview(text.encode())) for number, text in parts)


def _number(name: str, value: int) -> bytes:
    return (
        encode(_TENSOR_DIMS, 1)
        + encode(_TENSOR_TYPE, _INT64)
        + encode(_TENSOR_NAME, memoryview(name.encode()))
        + encode(_TENSOR_RAW, memoryview(value.to_bytes(8, "little", signed=True)))
    )
