"""A LoRA adapter that runs beside a network in PyTorch: the weights stay as they are, quantized ones too.

Each matrix that the adapter changes gives its own output and, added to it, that of the two small ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ...errors import ModelFileError
from ..adapter import Adapter
from .library import Library


@dataclass(frozen=True, slots=True)
class Beside:
    """An adapter at work."""

    digest: str  # what tells it from every other
    bytes: int
    hooks: tuple[Any, ...]

    def remove(self) -> None:
        """Let the network compute as it did without it."""
        for hook in self.hooks:
            hook.remove()


def attach(lib: Library, model: Any, folder: Path) -> Beside:
    """Let the adapter in `folder` run beside `model`. Raises `ModelFileError`, and nothing has changed then."""
    torch, adapter = lib.torch, Adapter(folder)
    modules, halves = dict(model.named_modules()), []
    for name, delta in adapter.beside():
        module = modules.get(name)
        if module is None:
            _refuse(adapter, f"changes {name}, which the model does not have")
        if not isinstance(module, torch.nn.Linear):
            _refuse(adapter, f"changes {name}, which is no linear layer", adapter.merged_by)
        inputs, outputs = module.in_features, module.out_features
        if (outputs, inputs) != (len(delta.b), delta.a.shape[1]):
            _refuse(adapter, f"adds {(len(delta.b), delta.a.shape[1])} to {name}, which is {(outputs, inputs)}")
        a, b = (
            torch.from_numpy(half.copy()).to(device=model.device, dtype=model.dtype)
            for half in (delta.a, delta.scale * delta.b)
        )
        halves.append((module, a, b))
    linear = torch.nn.functional.linear
    hooks = tuple(module.register_forward_hook(_adding(linear, a, b)) for module, a, b in halves)
    return Beside(adapter.digest, sum(int(a.nbytes + b.nbytes) for _, a, b in halves), hooks)


def _adding(linear: Callable[[Any, Any], Any], a: Any, b: Any) -> Callable[[Any, tuple[Any, ...], Any], Any]:
    def add(module: object, given: tuple[Any, ...], output: Any) -> Any:
        return output + linear(linear(given[0], a), b)

    return add


def _refuse(adapter: Adapter, reason: str, hint: str = "give the model it was trained on") -> NoReturn:
    raise ModelFileError(f"the adapter {adapter.lora.where} {reason}", hint=hint)
