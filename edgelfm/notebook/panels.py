"""What stands beside the chat in the playground, for models that can do it. Vision and audio add theirs here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..model import Model


@dataclass(frozen=True, slots=True)
class Panel:
    """One tab of the playground."""

    title: str
    make: Callable[[Model], Any | None]  # a widget that the playground closes, or None if the model cannot do it


def _monitor(model: Model) -> Any:
    # Of a model that a server has, this machine's sensors say nothing.
    return model.monitor() if model.candidate.memory.parts else None


PANELS: list[Panel] = [Panel("Monitor", _monitor)]
