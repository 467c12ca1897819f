from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelfm.backends.text import TextStream


def feed(pieces: list[bytes], stop: tuple[str, ...] = ()) -> tuple[list[str], str, bool]:
    stream = TextStream(stop)
    shown = []
    for piece in pieces:
        shown.append(stream.push(piece))
        if stream.stopped:
            break
    return shown, "".join(shown) + stream.finish(), stream.stopped


@given(st.text(), st.integers(1, 5))
def test_cut_anywhere_the_text_is_the_same_and_no_character_is_ever_broken(text: str, size: int) -> None:
    data = text.encode("utf-8", "replace")
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    shown, whole, _ = feed(pieces)
    assert whole == data.decode()
    assert not any("\ufffd" in part for part in shown if "\ufffd" not in text)


def test_an_emoji_appears_when_its_last_byte_does() -> None:
    assert feed([b"\xf0\x9f", b"\x8c", b"\xb5!"])[0] == ["", "", "🌵!"]


def test_a_sequence_that_never_ends_becomes_one_replacement_character() -> None:
    assert feed([b"ok ", b"\xf0\x9f"])[1] == "ok \ufffd"


@pytest.mark.parametrize(
    ("pieces", "stop", "expected"),
    [
        (["one\n", "two"], ("\n",), "one"),
        (["a", "b", "STO", "P", "c"], ("STOP",), "ab"),
        (["STO", "RY"], ("STOP",), "STORY"),
        (["x<", "|en", "d|>y"], ("<|end|>", "zzz"), "x"),
        (["aa", "ab"], ("aab",), "a"),
        (["later end", " now"], ("end", "later"), ""),
        (["no stop here"], (), "no stop here"),
    ],
)
def test_text_ends_before_the_first_stop_string(pieces: list[str], stop: tuple[str, ...], expected: str) -> None:
    _, whole, stopped = feed([piece.encode() for piece in pieces], stop)
    assert whole == expected
    assert stopped == (expected != "".join(pieces))


@given(st.text("ab", max_size=30), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3), st.integers(1, 4))
def test_however_the_text_is_cut_the_stop_string_is_found(text: str, stop: list[str], size: int) -> None:
    pieces = [text[i : i + size].encode() for i in range(0, len(text), size)]
    _, whole, stopped = feed(pieces, tuple(stop))
    found = [at for s in stop if (at := text.find(s)) >= 0]
    if stopped:
        # Found as soon as one is complete, so never later than the piece in which the first one ends.
        assert not any(s in whole for s in stop)
        assert text.startswith(whole)
    else:
        assert not found
        assert whole == text


def test_however_much_was_written_no_more_is_held_than_could_begin_a_stop_string() -> None:
    """What a token costs must not depend on how many came before it."""
    stream = TextStream(("<|end of it|>", "STOP"))
    for piece in [b"<|end", b" ", b"STO", b"of ", b"\xf0\x9f", b"<<|end of it|"] * 500:
        stream.push(piece)
        assert len(stream._held) < len("<|end of it|>")
