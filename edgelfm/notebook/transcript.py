"""A conversation as a list of plain messages for the browser. Knows no widgets and sends nothing.

A message keeps its key from the moment it is asked until it is a node of the tree, so that a page need not draw it
anew when the reply is done.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from ..chat import Conversation, Reply
from ..chat.tool_calls import split_calls
from ..chat.tree import Node
from ..markup import escape

#: Of keys, never the same twice: a reply to an old conversation must not run on in a new one.
_numbers = itertools.count(1)


class Transcript:
    """What is shown of one conversation, and which node each shown message is."""

    def __init__(self, talk: Conversation, name: str) -> None:
        self.talk = talk
        self._name = name  # of the model
        self._keys: dict[int, str] = {}  # by node
        self._figures: dict[int, str] = {}  # of replies made here, by node
        self._thinking: dict[int, str] = {}

    def key(self) -> str:
        """A key for a message that has no node yet."""
        return f"m{next(_numbers)}"

    def node(self, key: str) -> Node | None:
        """The message with that key, None if it is not in the tree, as a page may ask for what is gone."""
        return next((self.talk.tree[id] for id, one in self._keys.items() if one == key), None)

    def turn(self, key: str) -> int | None:
        """The number of the user's message with that key, counted on the present branch."""
        said = [node for node in self.talk.tree.path() if node.message.role == "user"]
        return next((turn for turn, node in enumerate(said) if self._key_of(node) == key), None)

    def answered(self, keys: Iterable[str], reply: Reply) -> None:
        """The last messages of the conversation are those that were shown as `keys`; `reply` is the last."""
        path = self.talk.tree.path()
        keys = list(keys)
        if not path or path[-1].message.role != "assistant":
            return
        for node, key in zip(reversed(path), reversed(keys), strict=False):  # the path goes further back
            self._keys[node.id] = key
        self._figures[path[-1].id] = reply.summary()
        self._thinking[path[-1].id] = reply.thinking

    def keys(self) -> list[str]:
        """The keys of the present branch, in order."""
        return [self._key_of(node) for node in self.talk.tree.path()]

    def changes(self) -> list[dict[str, Any]]:
        """The present branch as changes for a `Feed`: every message, and their order."""
        path = self.talk.tree.path()
        puts = [
            {"op": "put", "key": self._key_of(node), "message": self._message(node, last=node is path[-1])}
            for node in path
        ]
        return [*puts, {"op": "path", "keys": self.keys()}]

    def _key_of(self, node: Node) -> str:
        if node.id not in self._keys:
            self._keys[node.id] = self.key()
        return self._keys[node.id]

    def _message(self, node: Node, *, last: bool) -> dict[str, Any]:
        versions = [one for one in self.talk.tree.siblings(node.id) if one.message.role == node.message.role]
        text, calls = split_calls(node.message.content) if node.message.role == "assistant" else (
            node.message.content, ()
        )  # fmt: skip
        return message(
            node.message.role,
            text,
            name=self._name,
            thinking=self._thinking.get(node.id, ""),
            figures=self._figures.get(node.id, ""),
            calls=[{"name": call.name, "arguments": dict(call.arguments)} for call in calls],
            versions={"at": versions.index(node) + 1, "of": len(versions)},
            last=last,
        )


def message(
    role: str,
    text: str = "",
    *,
    name: str = "",
    state: str = "done",
    thinking: str = "",
    figures: str = "",
    calls: list[dict[str, Any]] | None = None,
    versions: dict[str, int] | None = None,
    last: bool = False,
) -> dict[str, Any]:
    """One message as the page wants it. `state` is "done" or "writing"."""
    return {
        "role": role, "text": text, "name": name, "state": state, "thinking": thinking, "figures": figures,
        "calls": calls or [], "versions": versions, "last": last,
    }  # fmt: skip


def escape_lines(text: str) -> str:
    """`text` for HTML, with its line breaks."""
    return "\n".join(escape(line) for line in text.split("\n"))
