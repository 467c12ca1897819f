from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelfm.chat.thinking import ThinkingSplitter


def split(pieces: list[str], *, opened: bool = False) -> tuple[str, str]:
    splitter = ThinkingSplitter(opened=opened)
    parts = [part for piece in pieces for part in splitter.push(piece)] + list(splitter.finish())
    return "".join(t for k, t in parts if k == "thinking"), "".join(t for k, t in parts if k == "text")


CASES = [
    ("Hello", False, "", "Hello"),
    ("<think>hm</think>\n\nYes", False, "hm", "Yes"),
    ("\n<think>\nhm\n</think>Yes", False, "\nhm\n", "Yes"),
    ("hm</think>Yes", True, "hm", "Yes"),
    ("<think>cut off", False, "cut off", ""),
    ("a < b and <b>bold</b>", False, "", "a < b and <b>bold</b>"),
    ("Use <think> tags", False, "", "Use <think> tags"),
    ("<thin ice", False, "", "<thin ice"),
    ("<think>a</thinker></think>b", False, "a</thinker>", "b"),
    ("<th", False, "", "<th"),
    ("", False, "", ""),
]


@pytest.mark.parametrize(("reply", "opened", "thinking", "text"), CASES)
def test_thinking_is_told_from_text_however_it_arrives(reply: str, opened: bool, thinking: str, text: str) -> None:
    for size in (1, 2, 3, 7, 1000):
        pieces = [reply[i : i + size] for i in range(0, len(reply), size)]
        assert split(pieces, opened=opened) == (thinking, text)


@given(st.text(), st.text(), st.lists(st.integers(1, 9), min_size=1))
def test_nothing_is_lost(thought: str, answer: str, sizes: list[int]) -> None:
    thought = thought.replace("</think>", "")
    whole = f"<think>{thought}</think>{answer}"
    pieces, at = [], 0
    while at < len(whole):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(whole[at : at + size])
        at += size
    assert split(pieces) == (thought, answer.lstrip())
