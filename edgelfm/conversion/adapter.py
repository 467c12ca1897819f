"""A LoRA adapter of the library PEFT, merged into weights as they are read: W + scale * B A, in f32, without PEFT.

The scale is `lora_alpha / r`, with rank-stabilised LoRA `lora_alpha / sqrt(r)`; DoRA then gives every row the length
that was learned for it. What would need more than that is refused, never left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..backends.safetensors import read_json
from ..errors import ModelFileError
from .weights import Weights

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_PREFIX = "base_model.model."
_NAME = re.compile(
    r"(?P<module>.+)\.(?:lora_(?P<side>[AB])\.weight|lora_embedding_(?P<embedding>[AB])"
    r"|(?P<magnitude>lora_magnitude_vector)(?:\.weight)?)"
)
#: Ways to begin a training that also change the weights of the base, which are not here then.
_CHANGED_BASE = ("pissa", "olora", "corda", "loftq")
_MERGE_FIRST = "merge it with PEFT and convert the outcome: model.merge_and_unload().save_pretrained(folder)"


@dataclass(frozen=True, slots=True)
class Delta:
    """What is added to one tensor."""

    a: Array  # r x inputs
    b: Array  # outputs x r
    scale: float
    magnitude: Array | None = None  # of DoRA: the length of every row


class Adapter:
    """The adapter in a folder. Raises `ModelFileError` for one that cannot be merged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder = folder.expanduser().resolve()
        if not (folder / "adapter_config.json").is_file():
            self._refuse("holds no adapter_config.json", "give the folder that PEFT saved after the training")
        self._config = read_json(folder / "adapter_config.json")
        self._check()
        path = folder / "adapter_model.safetensors"
        if not path.is_file():
            pickled = (folder / "adapter_model.bin").is_file()
            self._refuse(
                "holds pickled weights (adapter_model.bin), which can run any code when they are opened"
                if pickled
                else "holds no adapter_model.safetensors",
                "save it again with model.save_pretrained(folder)",
            )
        self.deltas = self._read(path)

    def require_fit(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raise `ModelFileError` unless every tensor it changes is in the model, in the right shape."""
        for name, delta in self.deltas.items():
            shape, (outputs, inputs) = shapes.get(name), (len(delta.b), delta.a.shape[1])
            if shape is None:
                self._refuse(f"changes {name}, which the model does not have", "give the model it was trained on")
            if shape != (outputs, inputs):
                self._refuse(
                    f"adds {(outputs, inputs)} to {name}, which is {shape}", "give the model it was trained on"
                )

    def require_untied(self) -> None:
        """Raise `ModelFileError` if it changes an embedding that is also the output head."""
        if any(name.endswith(("embed_tokens.weight", "lm_head.weight")) for name in self.deltas):
            self._refuse(
                "changes an embedding that is also the output head, and only in one of its two parts", _MERGE_FIRST
            )

    def merged(self, name: str, rows: Array, first: int) -> Array:
        """`rows` of the tensor `name`, which begin at row `first`, with what this adapter adds."""
        import numpy as np

        delta = self.deltas.get(name)
        if delta is None:
            return rows
        changed: Array = rows + np.float32(delta.scale) * (delta.b[first : first + len(rows)] @ delta.a)
        if delta.magnitude is not None:
            lengths = np.linalg.norm(changed, axis=1, keepdims=True)
            changed = changed * (delta.magnitude[first : first + len(rows), None] / lengths)
        return changed

    def _check(self) -> None:
        config = self._config
        if config.get("peft_type") != "LORA":
            self._refuse(f"is of the type {config.get('peft_type')!r}; LoRA is merged", _MERGE_FIRST)
        if config.get("modules_to_save"):
            self._refuse(f"replaces whole modules: {config['modules_to_save']}", _MERGE_FIRST)
        for key in ("fan_in_fan_out", "layer_replication", "lora_bias", "target_parameters", "megatron_config"):
            if config.get(key):
                self._refuse(f"uses {key}, which is not merged here", _MERGE_FIRST)
        if config.get("bias", "none") != "none":
            self._refuse("trains biases too", _MERGE_FIRST)
        began = str(config.get("init_lora_weights", True)).lower()
        if began.startswith(_CHANGED_BASE):
            self._refuse(f"began with {began}, which changed the weights of its base", _MERGE_FIRST)

    def _read(self, path: Path) -> dict[str, Delta]:
        sides: dict[str, dict[str, Array]] = {}
        with Weights(path) as stored:
            for full in stored.stored:
                found = _NAME.fullmatch(full.removeprefix(_PREFIX))
                if found is None:
                    self._refuse(f"holds {full}, which is no part of a LoRA", _MERGE_FIRST)
                values = stored.rows(full)
                if side := found["embedding"]:  # stored the other way round: A is r x words, B is width x r
                    side, values = {"A": "B", "B": "A"}[side], values.T
                kind = side or found["side"] or "magnitude"
                sides.setdefault(found["module"], {})[kind] = values.reshape(-1) if kind == "magnitude" else values
        deltas = {}
        for module, one in sides.items():
            if not {"A", "B"} <= set(one) or one["A"].shape[0] != one["B"].shape[1]:
                self._refuse(f"holds half of a change to {module}, or halves that do not fit", "save it again")
            magnitude = one.get("magnitude")
            if bool(self._config.get("use_dora")) != (magnitude is not None):
                self._refuse(f"is at odds with itself about DoRA in {module}", _MERGE_FIRST)
            if magnitude is not None and len(magnitude) != len(one["B"]):
                self._refuse(f"has {len(magnitude)} lengths for {len(one['B'])} rows of {module}", "save it again")
            deltas[f"{module}.weight"] = Delta(one["A"], one["B"], self._scale(module, len(one["A"])), magnitude)
        if not deltas:
            self._refuse("changes nothing", "give the folder that PEFT saved after the training")
        return deltas

    def _scale(self, module: str, rank: int) -> float:
        alpha = self._patterned("alpha_pattern", module, self._config.get("lora_alpha"))
        if not isinstance(alpha, (int, float)):
            self._refuse(f"has lora_alpha = {alpha!r}", "give the folder that PEFT saved after the training")
        return alpha / math.sqrt(rank) if self._config.get("use_rslora") else alpha / rank

    def _patterned(self, key: str, module: str, usual: Any) -> Any:
        """The value for one module, by PEFT's rule: the first pattern that its name ends with."""
        patterns = self._config.get(key) or {}
        return next((value for end, value in patterns.items() if re.match(rf"(.*\.)?({end})$", module)), usual)

    def _refuse(self, reason: str, hint: str) -> NoReturn:
        raise ModelFileError(f"the adapter {self.folder} {reason}", hint=hint)
