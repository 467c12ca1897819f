"""A conversation on a few lines: what was said, and where it branches. Plain text for a terminal or a notebook."""

from __future__ import annotations

from .tree import Node, Tree

_SHOWN = 16  # messages; of a longer conversation, the latest
_WIDTH = 72  # characters of a message


def outline(tree: Tree) -> list[str]:
    """The present branch, a line a message.

    Turns carry the number that `edit` takes, and `2/3` marks the second of three versions.
    """
    path = tree.path()
    lines, turn = [], 0
    for node in path:
        said = node.message.role == "user"
        number = str(turn) if said else ""
        turn += said
        versions = tree.siblings(node.id)
        mark = f"  {versions.index(node) + 1}/{len(versions)}" if len(versions) > 1 else ""
        lines.append(f"{number:>3}  {node.message.role:9}  {excerpt(node)}{mark}")
    left_out = len(lines) - _SHOWN
    if left_out <= 1:
        return lines
    return [f"{'':3}  … {left_out} messages before these", *lines[left_out:]]


def branch_lines(tree: Tree) -> list[str]:
    """All branches, a line for each of `tree.leaves()`: where it leaves the present one, which has a star."""
    here = {node.id for node in tree.path()}
    lines = []
    for number, leaf in enumerate(tree.leaves()):
        path = tree.path_to(leaf.id)
        present = leaf.id == tree.current
        if present:
            parting = next((node for node in reversed(path) if len(tree.siblings(node.id)) > 1), path[-1])
        else:
            parting = next(node for node in path if node.id not in here)
        turn = sum(node.message.role == "user" for node in path[: path.index(parting) + 1]) - 1
        lines.append(f"{'*' if present else ' '}{number:>3}  turn {turn}  {parting.message.role:9}  {excerpt(parting)}")
    return lines


def excerpt(node: Node) -> str:
    """The beginning of a message on one line."""
    text = " ".join(node.message.content.split())
    if not text:
        return "(no text)"
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1].rstrip() + "…"
