"""The widgets that are not a method of something: `edgelfm.playground()` and `edgelfm.compare([…])`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import RequestError
from .upstairs import widget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .model import Model
    from .notebook.compare import Comparison
    from .notebook.playground import Playground


def playground(model: Model | str | Path | None = None, **asked: Any) -> Playground:
    """A widget to chat in: choose and load a model, edit, answer again, branch, turn the knobs, watch what it takes.

    `model` is one that is loaded, or the name of one to load now; without it, what fits this machine is listed to
    choose from. `asked` are keywords of `edgelfm.plan`, such as `task="chat"` or `context=4096`. Raises
    `WidgetsMissing`, and what `plan` and `load` raise.
    """
    made: Playground = widget("playground", "Playground")(model, **asked)
    return made


def compare(models: Sequence[Model | str | Path | dict[str, Any]], **options: Any) -> Comparison:
    """A widget that asks several models the same and shows their replies and figures side by side.

    Each of `models` is a loaded model, a name, or the keywords of `edgelfm.load` as a dictionary:
    `compare(["lfm2.5-350m", {"name": "lfm2.5-350m", "quantization": "Q8_0"}])`. They answer one after the other, so
    that none disturbs another's figures. `options` are those of `lfm.chat`, the same for all. Raises `WidgetsMissing`,
    `RequestError`.
    """
    if isinstance(models, (str, Path, dict)) or len(models) < 2:
        raise RequestError(
            "there is nothing to compare with",
            hint='give a list of at least two: edgelfm.compare(["lfm2.5-350m", "starter"])',
        )
    made: Comparison = widget("compare", "Comparison")(models, **options)
    return made
