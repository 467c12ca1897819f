"""Streaming text is folded at spaces, whatever pieces it comes in."""

from __future__ import annotations

import pytest

from edgelfm.cli.wrap import Folder


def fold(text: str, width: int, piece: int) -> str:
    folder = Folder(width)
    parts = [folder.feed(text[start : start + piece]) for start in range(0, len(text), piece)]
    return "".join(parts) + folder.finish()


CASES = {
    "one line": ("as it is", "as it is"),
    "folded": ("a sentence of some length, folded", "a sentence of some\nlength, folded"),
    "its own lines": ("one\n\n- two", "one\n\n- two"),
    "indented": ("  indented", "  indented"),
    "fenced code": ("```\nx = 'longer than the width'\n```\nafter", "```\nx = 'longer than the width'\n```\nafter"),
    "wide characters": ("日本語日本語 日本語日本語", "日本語日本語\n日本語日本語"),
}  # fmt: skip


@pytest.mark.parametrize("piece", [1, 2, 5, 100])
@pytest.mark.parametrize("case", CASES)
def test_folding(case: str, piece: int) -> None:
    text, expected = CASES[case]
    assert fold(text, 20, piece) == expected


def test_text_without_spaces_is_not_held_back() -> None:
    assert Folder(20).feed("語" * 30) != ""


def test_nothing_is_lost() -> None:
    text = "Every word of this text, and every mark in it, stays where it was when it was long.\nNext."
    assert fold(text, 20, 3).split() == text.split()
