"""The matrices of a LoRA adapter: what it adds to which weight. As PEFT or mlx-lm saved it, in f32, without either.

A change is `scale * B A`. PEFT's scale is `lora_alpha / r`, with rank-stabilised LoRA `lora_alpha / sqrt(r)`; mlx-lm
writes it down. DoRA then gives every row the length that was learned for it. What would need more than that is refused,
never left out. An adapter is merged into weights as they are read, or runs beside them, which each runtime does in its
own way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import ModelFileError
from ..models.lora import Lora, lora_config, read_lora
from .identity import fingerprint
from .weights import Weights

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_PREFIX = "base_model.model."
_NAMES = {
    "peft": re.compile(
        r"(?P<module>.+)\.(?:lora_(?P<side>[AB])(?:\.default)?\.weight|lora_embedding_(?P<embedding>[AB])"
        r"|(?P<magnitude>lora_magnitude_vector)(?:\.weight)?)"
    ),
    "mlx": re.compile(r"(?P<module>.+)\.(?:lora_(?P<side>[ab])|(?P<magnitude>m))"),
}
#: Ways to begin a training that also change the weights of the base, which are not here then.
_CHANGED_BASE = ("pissa", "olora", "corda", "loftq")
_NOT_HERE = (
    "fan_in_fan_out", "layer_replication", "lora_bias", "target_parameters", "megatron_config",
    "trainable_token_indices", "alora_invocation_tokens",
)  # fmt: skip
#: mlx-lm calls the three matrices of a dense layer in a mixture as other models do, and not as LFM2.
_NAMES_IN_MLX = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}
_NAMES_OF_MLX = {theirs: ours for ours, theirs in _NAMES_IN_MLX.items()}
_MERGE_FIRST = {
    "peft": "merge it with PEFT and convert the outcome: model.merge_and_unload().save_pretrained(folder)",
    "mlx": "fuse it and convert the outcome: python -m mlx_lm.fuse",
}
_SAVED_FOLDER = "give the folder that was saved after the training"
_OTHER_BASE = "give the model it was trained on"


def name_in_mlx(module: str) -> str:
    """What mlx-lm calls a module of a mixture, by its name in Hugging Face's model."""
    stem, _, last = module.rpartition(".")
    return f"{stem}.{_NAMES_IN_MLX.get(last, last)}"


@dataclass(frozen=True, slots=True)
class Delta:
    """What is added to one tensor."""

    a: Array  # r x inputs
    b: Array  # outputs x r
    scale: float
    magnitude: Array | None = None  # of DoRA: the length of every row


class Adapter:
    """The adapter in a folder. Raises `ModelFileError` for what is none, or more than a LoRA."""

    def __init__(self, found: Lora | Path) -> None:
        self.lora = lora = found if isinstance(found, Lora) else read_lora(found)
        self.folder = lora.path
        if lora.form == "gguf":
            self._refuse("is a file for llama.cpp", "give the folder it was made from")
        self._config = lora_config(self.folder)
        (self._check_peft if lora.form == "peft" else self._check_mlx)()
        self.deltas = self._read(lora.weights)

    @property
    def halved(self) -> bool:
        """Whether it was saved in numbers of 16 bits."""
        return self.lora.bytes <= 2 * self.lora.parameters

    @property
    def digest(self) -> str:
        """What tells it from every other."""
        return f"{fingerprint(self.lora.weights)} {fingerprint(self.folder / 'adapter_config.json')}"

    def require_fit(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raise `ModelFileError` unless every tensor it changes is in the model, in the right shape."""
        for name, delta in self.deltas.items():
            shape, (outputs, inputs) = shapes.get(name), (len(delta.b), delta.a.shape[1])
            if shape is None:
                self._refuse(f"changes {name}, which the model does not have", _OTHER_BASE)
            if shape != (outputs, inputs):
                self._refuse(f"adds {(outputs, inputs)} to {name}, which is {shape}", _OTHER_BASE)

    def require_untied(self) -> None:
        """Raise `ModelFileError` if it changes an embedding that is also the output head."""
        if any(name.endswith(("embed_tokens.weight", "lm_head.weight")) for name in self.deltas):
            self._refuse_kind("changes an embedding that is also the output head, and only in one of its two parts")

    @property
    def merged_by(self) -> str:
        """What to type where it cannot run beside a model."""
        return f"merge it: edgelfm convert <folder of its base model> --adapter {self.lora.where}"

    def beside(self) -> Iterator[tuple[str, Delta]]:
        """Name of each module and what runs beside it. Raises `ModelFileError` for changes that have to be merged."""
        merge = self.merged_by
        for name, delta in self.deltas.items():
            if delta.magnitude is not None:
                self._refuse("is a DoRA, which cannot run beside a model", merge)
            if name.endswith(("embed_tokens.weight", "lm_head.weight")) or ".experts." in name:
                self._refuse(f"changes {name}, which it cannot do beside a model", merge)
            yield name.removesuffix(".weight"), delta

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

    def _check_peft(self) -> None:
        config = self._config
        if config.get("peft_type") != "LORA":
            self._refuse_kind(f"is of the type {config.get('peft_type')!r}, not LORA")
        if config.get("modules_to_save"):
            self._refuse_kind(f"replaces whole modules: {config['modules_to_save']}")
        for key in _NOT_HERE:
            if config.get(key):
                self._refuse_kind(f"uses {key}, which edgelfm does not know")
        if config.get("bias", "none") != "none":
            self._refuse_kind("trains biases too")
        began = str(config.get("init_lora_weights", True)).lower()
        if began.startswith(_CHANGED_BASE):
            self._refuse_kind(f"began with {began}, which changed the weights of its base")

    def _check_mlx(self) -> None:
        kind = self._config.get("fine_tune_type", "lora")  # which older versions do not say
        if kind not in ("lora", "dora"):
            self._refuse_kind(f"is of the type {kind!r}, not lora")

    def _read(self, path: Path) -> dict[str, Delta]:
        import numpy as np

        sides: dict[str, dict[str, Array]] = {}
        with Weights(path) as stored:
            for full, one in stored.stored.items():
                found = _NAMES[self.lora.form].fullmatch(full.removeprefix(_PREFIX))
                if found is None or len(one.shape) > 2:
                    self._refuse_kind(f"holds {full}, which is no part of a LoRA for matrices")
                kind, values = self._part(found.groupdict(), stored.rows(full))
                if not np.isfinite(values).all():
                    self._refuse(f"holds {full}, of which some are NaN or infinite", "take a checkpoint from before")
                sides.setdefault(self._module(found["module"]), {})[kind] = values
        dora = bool(self._config.get("use_dora")) or self._config.get("fine_tune_type") == "dora"
        deltas = {}
        for module, parts in sides.items():
            if not {"A", "B"} <= set(parts) or parts["A"].shape[0] != parts["B"].shape[1]:
                self._refuse(f"holds half of a change to {module}, or halves that do not fit", "save it again")
            magnitude = parts.get("magnitude")
            if dora != (magnitude is not None):
                self._refuse_kind(f"is at odds with itself about DoRA in {module}")
            if magnitude is not None and len(magnitude) != len(parts["B"]):
                self._refuse(f"has {len(magnitude)} lengths for {len(parts['B'])} rows of {module}", "save it again")
            if not len(parts["A"]):
                self._refuse(f"has the rank 0 in {module}", _SAVED_FOLDER)
            scale = self._scale(module, len(parts["A"]))
            deltas[f"{module}.weight"] = Delta(parts["A"], parts["B"], scale, magnitude)
        if not deltas:
            self._refuse("changes nothing", _SAVED_FOLDER)
        return deltas

    def _module(self, name: str) -> str:
        """What a module is called in Hugging Face's model."""
        stem, _, last = name.rpartition(".")
        if self.lora.form == "mlx" and stem.endswith(".feed_forward"):
            return f"{stem}.{_NAMES_OF_MLX.get(last, last)}"
        return name

    def _part(self, found: Mapping[str, str | None], values: Array) -> tuple[str, Array]:
        """Which part of a change this is, A, B or magnitude, the way round that PEFT has it for linear layers."""
        if found["magnitude"]:
            return "magnitude", values.reshape(-1)
        if embedding := found.get("embedding"):  # A is r x words, B is width x r
            return {"A": "B", "B": "A"}[embedding], values.T
        side = (found["side"] or "").upper()
        return side, values.T if self.lora.form == "mlx" else values  # there, a is inputs x r, b is r x outputs

    def _scale(self, module: str, rank: int) -> float:
        if self.lora.form == "mlx":
            parameters = self._config.get("lora_parameters")
            scale = parameters.get("scale") if isinstance(parameters, dict) else None
            if not isinstance(scale, (int, float)):
                self._refuse(f"has the scale {scale!r}", _SAVED_FOLDER)
            return float(scale)
        alpha = self._patterned("alpha_pattern", module, self._config.get("lora_alpha"))
        if not isinstance(alpha, (int, float)):
            self._refuse(f"has lora_alpha = {alpha!r}", _SAVED_FOLDER)
        return alpha / math.sqrt(rank) if self._config.get("use_rslora") else alpha / rank

    def _patterned(self, key: str, module: str, usual: Any) -> Any:
        """The value for one module, by PEFT's rule: the first pattern that its name ends with."""
        patterns = self._config.get(key) or {}
        try:
            return next((value for end, value in patterns.items() if re.match(rf"(.*\.)?({end})$", module)), usual)
        except (AttributeError, re.error):
            self._refuse(f"has {key} = {patterns!r}", _SAVED_FOLDER)

    def _refuse_kind(self, reason: str) -> NoReturn:
        """For what whoever trained it can merge, and edgelfm cannot."""
        self._refuse(reason, _MERGE_FIRST[self.lora.form])

    def _refuse(self, reason: str, hint: str) -> NoReturn:
        raise ModelFileError(f"the adapter {self.lora.where} {reason}", hint=hint)
