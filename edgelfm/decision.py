"""A chosen value that says why it was chosen and how well that is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

T = TypeVar("T")

#: How a figure is known: run on this machine; fitted from runs on this machine; computed from a model of it; not known.
Grade = Literal["measured", "calibrated", "estimated", "unknown"]

#: The reason of a value that somebody gave. Such a value is never changed afterwards.
ASKED = "asked for"


@dataclass(frozen=True, slots=True)
class Decision(Generic[T]):
    """One setting: its value, the reason in plain words, and how well the reason is known."""

    value: T
    reason: str
    grade: Grade = "estimated"

    @property
    def asked(self) -> bool:
        """Whether somebody gave this value."""
        return self.reason == ASKED

    def __str__(self) -> str:
        return f"{self.value} ({self.reason})"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .markup import badge, bundle, escape

        value, known = escape(str(self.value)), "" if self.asked else f" {badge(self.grade)}"
        return bundle(str(self), f"<b>{value}</b>{known} <small>{escape(self.reason)}</small>")
