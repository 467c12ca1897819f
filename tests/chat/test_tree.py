from __future__ import annotations

import pytest

from edgelfm.chat.messages import Message
from edgelfm.chat.outline import branch_lines, outline
from edgelfm.chat.tree import Node, Tree
from edgelfm.errors import RequestError


def said(text: str) -> Message:
    return Message("user", text)


def answer(text: str) -> Message:
    return Message("assistant", text)


@pytest.fixture
def tree() -> Tree:
    """Two answers to the first question, and a second turn after the older of them, where we are."""
    tree = Tree.of(
        [Message("system", "Be brief."), said("A colour?"), answer("Blue."), said("A town?"), answer("Rome.")]
    )
    tree.add(answer("Red."), 1)
    tree.go(4)
    return tree


def texts(nodes: tuple[Node, ...]) -> list[str]:
    return [node.message.content for node in nodes]


def test_the_path_goes_from_the_root_to_the_present(tree: Tree) -> None:
    assert texts(tree.path()) == ["Be brief.", "A colour?", "Blue.", "A town?", "Rome."]
    assert texts(tree.path_to(5)) == ["Be brief.", "A colour?", "Red."]
    assert tree.path_to(None) == ()


def test_versions_of_a_message_stand_beside_each_other(tree: Tree) -> None:
    assert texts(tree.siblings(5)) == texts(tree.siblings(2)) == ["Blue.", "Red."]
    assert texts(tree.children(2)) == ["A town?"]
    assert texts(tree.leaves()) == ["Rome.", "Red."]


def test_first_messages_need_no_parent() -> None:
    tree = Tree.of([said("A colour?")])
    tree.add(said("A town?"), None)
    assert texts(tree.siblings(0)) == texts(tree.children(None)) == ["A colour?", "A town?"]
    assert texts(tree.path()) == ["A town?"]
    tree.go(None)
    assert tree.path() == ()
    assert tree.leaf_below(None) == 1


def test_the_leaf_below_is_the_one_visited_last(tree: Tree) -> None:
    assert tree.leaf_below(1) == 4
    tree.go(5)
    assert tree.leaf_below(0) == 5
    tree.go(3)
    assert tree.leaf_below(0) == 4
    assert tree.leaf_below(5) == 5


def test_nodes_and_the_present_one_are_all_there_is_to_keep(tree: Tree) -> None:
    again = Tree(tree.nodes, tree.current)
    assert again.nodes == tree.nodes
    assert again.path() == tree.path()
    assert again.leaf_below(0) == 4  # the way to the present, though "Red." is newer


@pytest.mark.parametrize(
    ("nodes", "current", "message"),
    [
        ([Node(1, None, said("a"))], None, "node 1 cannot stand in place 0"),
        ([Node(0, 0, said("a"))], None, "with parent 0"),
        ([Node(0, None, said("a")), Node(1, 7, said("b"))], None, "with parent 7"),
        ([Node(0, -1, said("a"))], None, "with parent -1"),
        ([Node(0, None, said("a"))], 3, "no message 3"),
        ([], 0, "no message 0"),
    ],
)
def test_what_is_no_tree_is_refused(nodes: list[Node], current: int | None, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        Tree(nodes, current)


def test_a_long_branch_takes_no_longer_per_message() -> None:
    tree = Tree.of(said(str(number)) for number in range(20_000))
    assert len(tree.path()) == len(tree) == 20_000
    assert tree.leaf_below(0) == 19_999


def test_an_outline_numbers_turns_and_marks_versions(tree: Tree) -> None:
    assert outline(tree) == [
        "     system     Be brief.",
        "  0  user       A colour?",
        "     assistant  Blue.  1/2",
        "  1  user       A town?",
        "     assistant  Rome.",
    ]


def test_an_outline_is_short() -> None:
    tree = Tree.of([said("word " * 100), answer("")] * 40)
    lines = outline(tree)
    assert lines[0].strip() == "… 64 messages before these"
    assert lines[1].startswith(" 32  user       word word")
    assert lines[2].endswith("(no text)")
    assert len(lines) < 20
    assert max(map(len, lines)) < 100


def test_branches_are_listed_by_where_they_part(tree: Tree) -> None:
    assert branch_lines(tree) == [
        "*  0  turn 0  assistant  Blue.",
        "   1  turn 0  assistant  Red.",
    ]
    tree.go(2)  # an undone turn
    assert branch_lines(tree) == [
        "   0  turn 1  user       A town?",
        "   1  turn 0  assistant  Red.",
    ]
    assert branch_lines(Tree()) == []
