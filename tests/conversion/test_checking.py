"""The figures of a check are what they say they are, and what is broken is told from what is coarse."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from edgelfm.conversion import checking
from edgelfm.conversion.report import Agreement, kl_text
from edgelfm.conversion.tokenizer import Tokenizer
from edgelfm.errors import RequestError


def _file(path: Path, rows: list[list[float]]) -> Path:
    np.array(rows, np.float32).tofile(path)
    return path


def test_agreement_of_distributions_that_can_be_worked_out_by_hand(tmp_path: Path) -> None:
    half = [math.log(0.5), math.log(0.25), math.log(0.25)]
    other = [math.log(0.25), math.log(0.5), math.log(0.25)]
    source, made = _file(tmp_path / "a", [half, half]), _file(tmp_path / "b", [half, other])
    top1, kl = checking.compare(source, 3, made, 3)
    assert top1 == 0.5
    assert kl == pytest.approx((0 + 0.25 * math.log(2)) / 2, abs=1e-6)


def test_words_that_only_one_of_them_has_are_left_out(tmp_path: Path) -> None:
    source, made = _file(tmp_path / "a", [[1, 2, 0], [3, 0, 0]]), _file(tmp_path / "b", [[1, 2, 0, 9], [3, 0, 0, 9]])
    assert checking.compare(source, 3, made, 4) == (1.0, pytest.approx(0, abs=1e-9))


@pytest.mark.parametrize(
    ("top1", "kl", "bits", "broken"),
    [
        (0.03, 9.0, 8, True),
        (0.49, 1.0, 16, True),
        (0.9, 0.1, 8, False),
        (0.4, 1.0, 4, False),
        (0.02, 9.0, 4, True),
        (0.1, 0.1, 4, False),  # many tokens are about as likely
        (0.02, 9.0, 2, False),  # as coarse as that is anything
        (1.0, math.nan, 2, True),
    ],
)
def test_broken_is_told_from_coarse(top1: float, kl: float, bits: int, broken: bool) -> None:
    assert checking.absurd(Agreement(top1, kl, 500, "the source", True), bits) is broken


def test_a_text_is_cut_into_bounded_pieces_that_begin_as_texts_do() -> None:
    tokenizer = Tokenizer("lfm2", (), (), (), {"bos": 1}, True, None)
    text = checking.cut("…", list(range(10, 5000)), tokenizer)
    assert text.count <= checking.MOST_TOKENS
    assert {piece[0] for piece in text.pieces} == {1}
    assert [token for piece in text.pieces for token in piece[1:]] == list(
        range(10, 10 + text.count - len(text.pieces))
    )
    with pytest.raises(RequestError):
        checking.cut("", [], tokenizer)


@pytest.mark.parametrize(
    ("nats", "shown"), [(0.01234, "0.0123"), (2.2e-8, "2e-08"), (0.0, "0"), (-1e-12, "0"), (math.nan, "nan")]
)
def test_divergences_are_written_for_people(nats: float, shown: str) -> None:
    assert kl_text(nats) == shown
