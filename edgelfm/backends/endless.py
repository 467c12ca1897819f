"""A bias with which a model goes on writing text, whatever it has written: so that a measurement has its length."""

from __future__ import annotations

from collections.abc import Sequence

from .base import Session

_NEVER = -1e9  # added to a logit; minus infinity makes some samplers divide zero by zero


def never_ending(session: Session) -> dict[int, float]:
    """For `logit_bias`: keeps the model from ending its text, and from writing anything else but text."""
    texts = {*session.markers(), *session.special_tokens().values()}
    return {token: _NEVER for text in sorted(texts) for token in one_token(session, text)}


def one_token(session: Session, text: str) -> Sequence[int]:
    """The one token that `text` is, or nothing."""
    ids = session.tokenize(text) if text else []
    return ids if len(ids) == 1 else ()
