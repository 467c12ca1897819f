"""What a graph's file says about itself before it is loaded: which operators read what, and where its weights lie.

Field numbers are those of onnx.proto (github.com/onnx/onnx). Weights are passed over, not read.
"""

from __future__ import annotations

import mmap
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...errors import ModelFileError
from .protobuf import fields, messages, texts

_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER = 1, 5
_NODE_INPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE = 1, 4, 5
_ATTRIBUTE_GRAPH = 6
_TENSOR_EXTERNAL = 13
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_WITH_BODIES = ("If", "Loop", "Scan")
_AGAIN = "download the model again: `edgelfm pull <model>`"


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph in a file, and the files with its weights."""

    path: Path
    readers: Mapping[str, frozenset[str]]  # by name of a value: the operators that read it
    weights: tuple[Path, ...]  # files beside it, in the order of their names
    bytes: int  # of all these files

    def read_only_by(self, operator: str, names: Iterable[str]) -> bool:
        """Whether nothing but `operator` reads the values of these names."""
        return all(self.readers.get(name) == frozenset((operator,)) for name in names)


def read_graph(path: Path) -> Graph:
    """Look into the file at `path`.

    Raises `ModelFileError` if it is not there, is no graph, or weights that belong to it are missing or too short.
    """
    try:
        size = path.stat().st_size
        if not size:
            raise ModelFileError(f"{path} is empty", hint=_AGAIN)
        with path.open("rb") as file:
            # Not closed here: where parsing fails, the views into it live as long as the error that says so.
            readers, ends = _parsed(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    except FileNotFoundError as error:
        raise ModelFileError(f"{path} is not there", hint=_AGAIN) from error
    except (OSError, ValueError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"{path} is no ONNX graph, or a truncated one: {error}", hint=_AGAIN) from error
    weights = tuple(_external(path, name, end) for name, end in sorted(ends.items()))
    return Graph(path, readers, weights, size + sum(file.stat().st_size for file in weights))


def _parsed(model: memoryview) -> tuple[dict[str, frozenset[str]], dict[str, int]]:
    """Readers by value, and by external file the byte at which the last of its tensors ends."""
    readers: defaultdict[str, set[str]] = defaultdict(set)
    ends: dict[str, int] = {}
    graph = next(messages(model, _MODEL_GRAPH), None)
    if graph is None:
        raise ValueError("it holds no graph")
    for operator, inputs in _nodes(graph):
        for name in inputs:
            readers[name].add(operator)
    for tensor in messages(graph, _GRAPH_INITIALIZER):
        place = _place(tensor)
        if "location" in place:
            end = int(place.get("offset", 0)) + int(place.get("length", 0))
            ends[place["location"]] = max(end, ends.get(place["location"], 0))
    return {name: frozenset(kinds) for name, kinds in readers.items()}, ends


def _nodes(graph: memoryview) -> Iterator[tuple[str, list[str]]]:
    """Operator and inputs of each node, also of those in the branches of others."""
    for node in messages(graph, _GRAPH_NODE):
        operator = next(iter(texts(node, _NODE_OPERATOR)), "")
        yield operator, texts(node, _NODE_INPUT)
        if operator in _WITH_BODIES:
            for attribute in messages(node, _NODE_ATTRIBUTE):
                for body in messages(attribute, _ATTRIBUTE_GRAPH):
                    yield from _nodes(body)


def _place(tensor: memoryview) -> dict[str, str]:
    """`location`, `offset` and `length` of a tensor that lies in another file; empty for others."""
    found = {}
    for number, value in fields(tensor):
        if number == _TENSOR_EXTERNAL and isinstance(value, memoryview):
            key, text = texts(value, _ENTRY_KEY), texts(value, _ENTRY_VALUE)
            found[key[0] if key else ""] = text[0] if text else ""
    return found


def _external(path: Path, name: str, end: int) -> Path:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or ":" in name:
        raise ModelFileError(
            f"{path} wants weights from {name!r}, which is outside its folder", hint="do not trust this file"
        )
    file = path.parent / pure
    if not file.is_file():
        raise ModelFileError(f"{path} keeps weights in {name}, which is not there", hint=_AGAIN)
    if (size := file.stat().st_size) < end:
        raise ModelFileError(f"{file} is truncated: the graph needs {end:,} bytes, it has {size:,}", hint=_AGAIN)
    return file
