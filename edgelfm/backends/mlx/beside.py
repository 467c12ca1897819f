"""A LoRA adapter that runs beside an MLX network: mlx-lm's own layer around each matrix that it changes.

The weights stay as they are, quantized ones too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ...errors import ModelFileError
from ..adapter import Adapter, name_in_mlx
from .library import Library


@dataclass(frozen=True, slots=True)
class Beside:
    """An adapter at work."""

    digest: str  # what tells it from every other
    bytes: int
    layers: tuple[tuple[str, Any], ...]  # its own, by the name of the layer that each stands around

    def put(self, lib: Library, model: Any) -> None:
        """Let `model` compute with it."""
        model.update_modules(lib.trees.tree_unflatten(list(self.layers)))
        model.eval()  # new layers would train

    def remove(self, lib: Library, model: Any) -> None:
        """Let `model` compute as it did without it."""
        model.update_modules(lib.trees.tree_unflatten([(name, layer.linear) for name, layer in self.layers]))


def attach(lib: Library, model: Any, folder: Path) -> Beside:
    """Let the adapter in `folder` run beside `model`. Raises `ModelFileError`, and nothing has changed then."""
    from mlx_lm.tuner.lora import LoRALinear

    adapter, modules = Adapter(folder), dict(model.named_modules())
    layers, taken = [], 0
    for published, delta in adapter.beside():
        name = published if published in modules else name_in_mlx(published)
        module = modules.get(name)
        if module is None or not type(module).__name__.endswith("Linear"):
            _refuse(adapter, f"changes {published}, which is no linear layer of this model")
        layer = LoRALinear.from_base(module, r=len(delta.a), scale=delta.scale)
        outputs, inputs = layer.lora_b.shape[1], layer.lora_a.shape[0]
        if (outputs, inputs) != (len(delta.b), delta.a.shape[1]):
            _refuse(adapter, f"adds {(len(delta.b), delta.a.shape[1])} to {name}, which is {(outputs, inputs)}")
        # In the numbers that the layer computes in: a quantized one has scales in them.
        dtype = module.scales.dtype if "scales" in module else module.weight.dtype
        layer.lora_a, layer.lora_b = (lib.mx.array(half.T.copy()).astype(dtype) for half in (delta.a, delta.b))
        lib.mx.eval(layer.lora_a, layer.lora_b)
        taken += layer.lora_a.nbytes + layer.lora_b.nbytes
        layers.append((name, layer))
    beside = Beside(adapter.digest, int(taken), tuple(layers))
    beside.put(lib, model)
    return beside


def _refuse(adapter: Adapter, reason: str) -> NoReturn:
    raise ModelFileError(f"the adapter {adapter.lora.where} {reason}", hint="give the model it was trained on")
