"""Replies and conversations in a notebook. What a model or a person wrote is text here, whatever it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..markup import block, bundle, escape, facts, folded, grid, heading, prose, small
from .messages import Message
from .outline import branch_lines, excerpt, outline
from .reply import Reply
from .tree import Branches, Node, Tree

if TYPE_CHECKING:
    from .conversation import Conversation

_SHOWN = 16  # messages; of a longer conversation, the latest
_LONGEST = 600  # characters of a message in a conversation
_THOUGHT = 20_000  # characters of thinking; the end of more than that says what came of it
_LISTED = 40  # branches


def reply_bundle(reply: Reply) -> dict[str, str]:
    """The text as the model wrote it, its thinking to be opened, and the figures below."""
    thinking = reply.thinking.strip()
    if len(thinking) > _THOUGHT:
        thinking = "…" + thinking[-_THOUGHT:]
    thought = folded("Thinking", f'<div class="elfm-said elfm-soft">{prose(thinking)}</div>') if thinking else ""
    text = reply.text if reply.text.strip() else "(no text)"
    figures = f"{reply.model} · {reply.summary()}" if reply.model else reply.summary()
    return bundle(
        f"{reply.text}\n\n{reply.summary()}",
        thought,
        f'<div class="elfm-said elfm-text">{prose(text)}</div>',
        f"<p><small>{escape(figures)}</small></p>",
    )


def message_bundle(message: Message) -> dict[str, str]:
    """One message: who said what."""
    words = f'<div class="elfm-said elfm-text">{prose(message.content)}</div>'
    return bundle(f"{message.role}: {message.content}", f"<p><b>{escape(message.role)}</b></p>", words)


def conversation_bundle(talk: Conversation) -> dict[str, str]:
    """The present branch, and where others leave it."""
    head, *_ = repr(talk).split("\n", 1)
    title, _, detail = head.partition(": ")
    return bundle(repr(talk), heading(title, detail), *_tree(talk.tree))


def tree_bundle(tree: Tree) -> dict[str, str]:
    """All messages: the present branch, and where others leave it."""
    leaves = len(tree.leaves())
    title = f"{len(tree)} message{'' if len(tree) == 1 else 's'}"
    detail = f"{leaves} branches" if leaves > 1 else ""
    lines = [f"Tree: {', '.join(filter(None, (title, detail)))}", *outline(tree)]
    return bundle("\n".join(lines), heading(title, detail), *_tree(tree))


def branches_bundle(branches: Branches) -> dict[str, str]:
    """The versions of one turn; the present ones are marked."""
    rows, lines = [], []
    for kind, nodes, present in (
        ("question", branches.questions, branches.question),
        ("answer", branches.answers, branches.answer),
    ):
        for place, node in enumerate(nodes, 1):
            here = node == present
            name = f"{kind} {place}/{len(nodes)}"
            lines.append(f"{'*' if here else ' '} {name}, node {node.id}: {excerpt(node)}")
            rows.append((f"{name} <b>here</b>" if here else name, str(node.id), _said(node)))
    return bundle("\n".join(lines), grid(("version", "node", "text"), rows))


def _tree(tree: Tree) -> list[str]:
    path = tree.path()
    if not path:
        return [facts([("so far", "nothing has been said yet")])]
    rows, turn = [], 0
    for node in path:
        asked = node.message.role == "user"
        number = str(turn) if asked else ""
        turn += asked
        versions = tree.siblings(node.id)
        mark = small(f"{versions.index(node) + 1} of {len(versions)}") if len(versions) > 1 else ""
        rows.append((number, escape(node.message.role) + mark, _said(node)))
    left_out = len(rows) - _SHOWN
    above = f"<p><small>{left_out} messages before these</small></p>" if left_out > 0 else ""
    parts = [above + grid(("turn", "who", "text"), rows[-_SHOWN:])]
    lines = branch_lines(tree)
    if len(lines) > 1:
        listed = "\n".join(lines[:_LISTED]) + ("\n…" if len(lines) > _LISTED else "")
        parts.append(folded(f"{len(lines)} branches; a star marks this one", block(listed)))
    return parts


def _said(node: Node) -> str:
    text = node.message.content
    if len(text) > _LONGEST:
        text = text[: _LONGEST - 1].rstrip() + "…"
    return f'<span class="elfm-said">{prose(text) if text.strip() else "(no text)"}</span>'
