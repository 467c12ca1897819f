"""Finds the tool calls in what a model wrote: `<|tool_call_start|>[weather(city="Bonn", days=2)]<|tool_call_end|>`.

LFM models write Python calls, and JSON where the system prompt asks for it. Nothing is ever run or evaluated here: the
text is parsed, and only literals count as arguments. Source of the form: Liquid AI's model cards on tool use.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

START, END = "<|tool_call_start|>", "<|tool_call_end|>"
_LONGEST = 100_000  # characters of one list of calls; a parser should not be given more
_JSON_NAMES: Mapping[str, Any] = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model wants to be called."""

    name: str  # may be dotted
    arguments: Mapping[str, Any] = field(default_factory=dict)  # literals by name; those without a name by place, "0"
    id: str = ""  # by which a server wants the result to be named; empty for what a model here wrote


def from_server(calls: Iterable[Mapping[str, str]]) -> tuple[ToolCall, ...]:
    """The calls that a server found. Arguments that are no JSON object are given whole, as "text"."""
    found = []
    for call in calls:
        text = call.get("arguments", "")
        try:
            arguments = json.loads(text) if text.strip() else {}
        except (ValueError, RecursionError):
            arguments = None
        given = arguments if isinstance(arguments, dict) else {"text": text}
        found.append(ToolCall(call.get("name", ""), given, call.get("id", "")))
    return tuple(found)


def split_calls(text: str) -> tuple[str, tuple[ToolCall, ...]]:
    """`text` without its tool calls, and the calls. What cannot be understood as calls stays in the text."""
    kept: list[str] = []
    calls: list[ToolCall] = []
    rest = text
    while START in rest:
        before, _, after = rest.partition(START)
        inside, marker, after = after.partition(END)
        found = read_calls(inside)
        kept.append(before if found else f"{before}{START}{inside}{marker}")
        calls += found
        rest = after
    kept.append(rest)
    return "".join(kept).strip() if calls else text, tuple(calls)


def read_calls(text: str) -> tuple[ToolCall, ...]:
    """The calls in what stands between the markers, none if it is not a list of calls."""
    text = text.strip()
    if len(text) > _LONGEST:
        return ()
    return _from_json(text) or _from_python(text)


def _from_json(text: str) -> tuple[ToolCall, ...]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    found = []
    for one in data if isinstance(data, list) else [data]:
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            return ()
        arguments = one.get("arguments", one.get("parameters", {}))
        if not isinstance(arguments, dict):
            return ()
        found.append(ToolCall(one["name"], arguments))
    return tuple(found)


def _from_python(text: str) -> tuple[ToolCall, ...]:
    try:
        tree = ast.parse(text, mode="eval").body
        parts = tree.elts if isinstance(tree, (ast.List, ast.Tuple)) else [tree]
        return tuple(_call(part) for part in parts)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return ()


def _call(node: ast.expr) -> ToolCall:
    if not isinstance(node, ast.Call):
        raise ValueError("not a call")
    arguments = {str(place): _literal(value) for place, value in enumerate(node.args)}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise ValueError("** has no name")
        arguments[keyword.arg] = _literal(keyword.value)
    return ToolCall(ast.unparse(node.func), arguments)


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Name) and node.id in _JSON_NAMES:
        return _JSON_NAMES[node.id]
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_literal(one) for one in node.elts]
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {str(_literal(key)): _literal(value) for key, value in pairs if key is not None}
    return ast.literal_eval(node)
