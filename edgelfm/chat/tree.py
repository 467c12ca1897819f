"""The messages of a conversation as a tree: an edit or another answer is a branch beside the old one.

Plain data. It knows no models and no tokens but those that messages carry, so it can be written down and read again:
`nodes` and `current` are all there is to keep.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import RequestError
from .messages import Message


@dataclass(frozen=True, slots=True)
class Node:
    """A message and its place: `parent` is the id of the message before it, None for the first."""

    id: int  # its index in `Tree.nodes`
    parent: int | None
    message: Message


@dataclass(frozen=True, slots=True)
class Branches:
    """The versions of one turn: `questions` made by edits, `answers` to the present question made by regenerating.

    `question` and `answer` are the ones on the way to the present; `answer` is None if none was given.
    """

    questions: tuple[Node, ...]
    question: Node
    answers: tuple[Node, ...]
    answer: Node | None

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .html import branches_bundle

        return branches_bundle(self)


class Tree:
    """Nodes that are only ever added, and the one where the conversation is now.

    The system prompt is the root, if there is one. Without it, first messages have no parent and are siblings.
    """

    def __init__(self, nodes: Iterable[Node] = (), current: int | None = None) -> None:
        """Take up a tree as it was written down. Raises `RequestError` if the nodes do not make a tree."""
        self._nodes: list[Node] = []
        self._children: dict[int | None, list[int]] = {None: []}
        self._visited: dict[int | None, int] = {}  # the child of each node that was seen last
        self._current: int | None = None
        for node in nodes:
            if node.id != len(self._nodes) or not (node.parent is None or 0 <= node.parent < node.id):
                raise RequestError(
                    f"node {node.id} cannot stand in place {len(self._nodes)} with parent {node.parent}",
                    hint="number nodes from 0, every parent before its children",
                )
            self._put(node)
        self.go(current)

    @classmethod
    def of(cls, messages: Iterable[Message]) -> Tree:
        """A tree of one branch, at its end."""
        tree = cls()
        for message in messages:
            tree.add(message, tree.current)
        return tree

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes, oldest first. A node's id is its index."""
        return tuple(self._nodes)

    @property
    def current(self) -> int | None:
        """The id of the last message of the present branch, None before the first."""
        return self._current

    def __len__(self) -> int:
        return len(self._nodes)

    def __getitem__(self, id: int) -> Node:
        """The node with this id. Raises `RequestError` if there is none."""
        if not 0 <= id < len(self._nodes):
            raise RequestError(
                f"there is no message {id} in this conversation",
                hint=f"use an id from 0 to {len(self._nodes) - 1}" if self._nodes else "nothing has been said yet",
            )
        return self._nodes[id]

    def path(self) -> tuple[Node, ...]:
        """The nodes from the root to the present one."""
        return self.path_to(self._current)

    def path_to(self, id: int | None) -> tuple[Node, ...]:
        """The nodes from the root to `id`; none for None."""
        nodes: list[Node] = []
        while id is not None:
            nodes.append(self[id])
            id = nodes[-1].parent
        return tuple(reversed(nodes))

    def children(self, id: int | None) -> tuple[Node, ...]:
        """What follows `id`, oldest first. `children(None)` are the first messages."""
        return tuple(self._nodes[child] for child in self._children.get(id, ()))

    def siblings(self, id: int) -> tuple[Node, ...]:
        """All versions of a message, itself included, oldest first."""
        return self.children(self[id].parent)

    def leaves(self) -> tuple[Node, ...]:
        """The last message of every branch, oldest branch first."""
        return tuple(node for node in self._nodes if not self._children[node.id])

    def leaf_below(self, id: int | None) -> int | None:
        """The end of the branch that was visited last among those through `id`; `id` itself if nothing follows.

        Where nobody has been, the newest branch.
        """
        while children := self._children.get(id):
            id = self._visited.get(id, children[-1])
        return id

    def add(self, message: Message, parent: int | None) -> Node:
        """Put a message after `parent` and go there."""
        if parent is not None:
            parent = self[parent].id
        node = Node(len(self._nodes), parent, message)
        self._put(node)
        if parent == self._current:  # the way to it is known
            self._visited[parent] = self._current = node.id
        else:
            self.go(node.id)
        return node

    def go(self, id: int | None) -> None:
        """Make `id` the present node; None is before the first message."""
        for node in self.path_to(id):
            self._visited[node.parent] = node.id
        self._current = id

    def _put(self, node: Node) -> None:
        self._nodes.append(node)
        self._children[node.id] = []
        self._children[node.parent].append(node.id)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .html import tree_bundle

        return tree_bundle(self)
