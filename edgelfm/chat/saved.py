"""A conversation as a file: JSON that people read, edit, or write by hand.

    {
      "format": "edgelfm conversation",
      "version": 1,
      "saved_at": "2026-01-31T12:00:00+00:00",
      "model": {"name": "starter", "quantization": "Q4_1", "backend": "llama.cpp", "context": 8192},
      "messages": [
        {"role": "user", "content": "Why is the sky blue?"},
        {"role": "assistant", "content": "Light is scattered.", "ids": [4, 8, 15]}
      ]
    }

Only role and content are needed; a list of messages alone will do. A message follows the one before it in the list
unless it names another as `parent`, by the `id` written there: that is how branches are told. `current` is the id where
the conversation stands, the last message if left out. `raw` is a reply as the model wrote it, where that is more than
its content, and `ids` are its tokens. Who edits the content of a reply need not mind them: `raw` is dropped if `raw_of`
is not the CRC-32 of the content, and ids that do not stand for the text are not used. `wire`, with a `wire_of` of the
same kind, is what a server was given in place of a message that was more than text.

Knows nothing of models. Whatever is wrong is a `ChatFileError` that names the file and the place.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..atomic import write_atomically
from ..errors import ChatFileError, StoreError
from ..units import format_bytes
from .answering import LoadedAs, Overflow
from .messages import ROLES, Message
from .tree import Node, Tree

FORMAT = "edgelfm conversation"
VERSION = 1
_LARGEST = 256 * 1024**2  # bytes; whoever gives a file of weights by mistake should not wait for it to be read
_EXAMPLE = '{"messages": [{"role": "user", "content": "Hello"}]}'


@dataclass(frozen=True, slots=True)
class SavedChat:
    """What a file holds."""

    tree: Tree
    model: LoadedAs | None = None  # None if the file does not say
    overflow: Overflow = "error"
    saved_at: str = ""  # ISO 8601, UTC


def write_chat(path: Path, tree: Tree, model: LoadedAs | None, overflow: Overflow) -> None:
    """Write a conversation, atomically. Raises `ChatFileError`, `NoDiskSpace`; an old file stays as it was then."""
    from .. import __version__

    head: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "edgelfm": __version__,
        "saved_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    if model is not None:
        head["model"] = {
            "name": model.name, "quantization": model.quantization, "backend": model.backend, "context": model.context
        }  # fmt: skip
        if model.adapter is not None:
            head["model"]["adapter"] = model.adapter
    if overflow != "error":
        head["overflow"] = overflow
    if tree.current != (len(tree) - 1 if len(tree) else None):
        head["current"] = tree.current
    lines = [f"  {_json(name)}: {_json(value)}," for name, value in head.items()]
    messages = ",\n".join(_message_text(fields) for fields in _messages(tree))
    text = "\n".join(["{", *lines, '  "messages": [', *([messages] if messages else []), "  ]", "}", ""])
    try:
        write_atomically(path, [text.encode()])
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise ChatFileError(
            f"cannot write {path}: {error.strerror or error}", hint="check that the folder exists and is yours"
        ) from error


def read_chat(path: Path) -> SavedChat:
    """Read a conversation. Raises `ChatFileError` naming the place that cannot be understood."""
    data = _parsed(path)
    if isinstance(data, list):
        data = {"messages": data}
    if not isinstance(data, dict) or not isinstance(data.get("messages"), list):
        raise _wrong(path, "holds no messages", f"write it as {_EXAMPLE}")
    if data.get("format", FORMAT) != FORMAT:
        raise _wrong(path, f"is in the format {data['format']!r}, not {FORMAT!r}", f"write it as {_EXAMPLE}")
    if data.get("version", VERSION) != VERSION:
        raise _wrong(
            path, f"has version {data['version']!r}, and this edgelfm reads {VERSION}", "pip install -U edgelfm"
        )
    overflow = data.get("overflow", "error")
    if overflow not in ("error", "drop_oldest"):
        raise _wrong(path, f"has the overflow {overflow!r}", 'use "error" or "drop_oldest"')
    saved_at = data.get("saved_at", "")
    return SavedChat(
        _tree(path, data), _model(path, data.get("model")), overflow, saved_at if isinstance(saved_at, str) else ""
    )


def _messages(tree: Tree) -> Iterator[dict[str, Any]]:
    """The nodes as they are written: ids and parents only where there are branches, so that one can put lines in."""
    branches = any(node.parent != (node.id - 1 if node.id else None) for node in tree.nodes)
    for node in tree.nodes:
        fields: dict[str, Any] = {}
        if branches or tree.current != len(tree) - 1:
            fields["id"] = node.id
        if node.parent != (node.id - 1 if node.id else None):
            fields["parent"] = node.parent
        message = node.message
        fields |= {"role": message.role, "content": message.content}
        if message.raw is not None and message.raw != message.content:
            fields |= {"raw": message.raw, "raw_of": _crc(message.content)}
        if message.ids:
            fields["ids"] = list(message.ids)
        if message.wire:
            fields |= {"wire": [dict(one) for one in message.wire], "wire_of": _crc(message.content)}
        yield fields


def _message_text(fields: Mapping[str, Any]) -> str:
    """One field a line: a text of thousands of tokens must not become thousands of lines."""
    inside = ",\n".join(f"      {_json(name)}: {_json(value)}" for name, value in fields.items())
    return f"    {{\n{inside}\n    }}"


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which only an escape can write
        text = json.dumps(value)
    return text


def _crc(text: str) -> str:
    return f"{zlib.crc32(text.encode('utf-8', 'surrogatepass')):08x}"


def _parsed(path: Path) -> Any:
    again = f"write it as {_EXAMPLE}"
    try:
        if (size := path.stat().st_size) > _LARGEST:
            raise _wrong(path, f"has {format_bytes(size)}, which is too much for a conversation", again)
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ChatFileError(
            f"cannot read {path}: {error.strerror or error}", hint="check the name; talk.save(path) writes such a file"
        ) from error
    except json.JSONDecodeError as error:
        raise _wrong(
            path, f"is broken JSON at line {error.lineno}, column {error.colno}: {error.msg}", "mend that line"
        ) from error
    except UnicodeDecodeError as error:
        raise _wrong(path, f"is no text: byte {error.start} is not UTF-8", again) from error
    except (ValueError, RecursionError) as error:
        raise _wrong(path, f"cannot be read as JSON: {error}", again) from error


def _tree(path: Path, data: Mapping[str, Any]) -> Tree:
    nodes: list[Node] = []
    places: dict[int, int] = {}  # index by the id that the file gives
    for index, given in enumerate(data["messages"]):
        place = f"message {index}"
        if not isinstance(given, dict):
            raise _wrong(path, f"{place} is a {type(given).__name__}", 'write {"role": "user", "content": "Hello"}')
        id, parent = given.get("id"), index - 1 if index else None
        if id is not None and (not _is_count(id) or id in places):
            raise _wrong(path, f"{place} has the id {id!r}", "give every message a number of its own, or leave it out")
        if "parent" in given:
            parent = places.get(given["parent"]) if _is_count(given["parent"]) else None
            if parent is None and given["parent"] is not None:
                raise _wrong(path, f"{place} has the parent {given['parent']!r}", "use the id of a message before it")
        if id is not None:
            places[id] = index
        nodes.append(Node(index, parent, _message(path, place, given)))
    current = len(nodes) - 1 if nodes else None
    if "current" in data and data["current"] is not None:
        current = places.get(data["current"]) if _is_count(data["current"]) else None
        if current is None:
            raise _wrong(path, f"stands at {data['current']!r}", "give the id of a message as current, or leave it out")
    elif "current" in data:
        current = None
    return Tree(nodes, current)


def _message(path: Path, place: str, given: Mapping[str, Any]) -> Message:
    role, content, raw, ids = (given.get(name) for name in ("role", "content", "raw", "ids"))
    if role not in ROLES:
        raise _wrong(path, f"{place} has the role {role!r}", f"use one of {', '.join(ROLES)}")
    if not isinstance(content, str):
        raise _wrong(path, f"the content of {place} is {type(content).__name__}, not text", "put it in quotes")
    if raw is not None and not isinstance(raw, str):
        raise _wrong(path, f"the raw text of {place} is {type(raw).__name__}, not text", "leave it out")
    if ids is not None and not (isinstance(ids, list) and all(_is_count(token) and token < 1 << 31 for token in ids)):
        raise _wrong(path, f"the ids of {place} are no list of token ids", "leave them out")
    if raw is not None and given.get("raw_of", _crc(content)) != _crc(content):
        raw = ids = None
    if raw is None and ids:  # the model wrote it, and nothing but what is shown
        raw = content
    wire = given.get("wire")
    if wire is not None and not (isinstance(wire, list) and all(isinstance(one, dict) and one for one in wire)):
        raise _wrong(path, f"the wire of {place} is no list of messages", "leave it out")
    if given.get("wire_of", _crc(content)) != _crc(content):
        wire = None
    return Message(role, content, raw, tuple(ids) if ids else None, tuple(wire) if wire else None)


def _model(path: Path, given: Any) -> LoadedAs | None:
    if given is None:
        return None
    if not isinstance(given, dict):
        raise _wrong(path, f"has a {type(given).__name__} as its model", 'write "model": {"name": "starter"}')
    texts = [given.get(name) for name in ("name", "quantization", "backend", "adapter")]
    context = given.get("context")
    if not isinstance(texts[0], str) or not all(text is None or isinstance(text, str) for text in texts):
        raise _wrong(path, f"names its model as {given!r}", 'write "model": {"name": "starter"}')
    if context is not None and not (_is_count(context) and context):
        raise _wrong(path, f"has the context {context!r}", "give a whole number of at least 1, or leave it out")
    return LoadedAs(texts[0], texts[1], texts[2], context, texts[3])


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _wrong(path: Path, what: str, hint: str) -> ChatFileError:
    return ChatFileError(f"{path}: {what}", hint=hint)
