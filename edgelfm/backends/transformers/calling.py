"""How a network is called: the names of its arguments in this release of transformers, and its layers one by one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

#: Takes ids of shape (1, n) and a cache, which then remembers them.
Call = Callable[[Any, Any], Any]


def head(model: Any) -> Call:
    """Gives the logits after the last of the ids, of shape (words,)."""
    call = _taking(model)
    return lambda ids, cache: call(ids, cache).logits[0, -1]


def body(model: Any) -> Call:
    """Remembers the ids and gives no logits: the matrix that makes them is as large as several layers."""
    return _taking(model.base_model)


def layers(model: Any) -> list[Any]:
    """The layers of the network in order: its longest list of modules."""
    lists = [list(module) for module in model.modules() if type(module).__name__ == "ModuleList"]
    return max(lists, key=len, default=[])


def _taking(module: Any) -> Call:
    named = inspect.signature(module.forward).parameters
    cache_name = "cache" if "cache" in named else "past_key_values"
    fixed: dict[str, Any] = {"use_cache": True}
    if "logits_to_keep" in named:
        fixed["logits_to_keep"] = 1
    return lambda ids, cache: module(ids, **{cache_name: cache}, **fixed)
