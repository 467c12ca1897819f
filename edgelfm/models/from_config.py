"""What model a Hugging Face `config.json` describes: its architecture, and how its weights are stored.

Knows the families that edgelfm can run elsewhere than in llama.cpp: lfm2, lfm2_moe, lfm3, their vision forms, and
llama. Any other family has no `Architecture` here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from ..errors import ModelFileError
from ..units import round_up
from .architecture import Architecture

MAX_CONFIG_BYTES = 4 * 1024**2
_FAMILIES = {"lfm2": "lfm2", "lfm2_moe": "lfm2moe", "lfm3": "lfm3", "llama": "llama"}


class Config:
    """One `config.json`. `where` names it in messages. Raises `ModelFileError` if it is not a JSON object."""

    def __init__(self, text: bytes, where: str) -> None:
        self.where = where
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as failure:
            raise ModelFileError(f"{where}: is not JSON: {failure}", hint="download it again") from failure
        if not isinstance(values, dict):
            self._refuse("is not an object")
        self.values: Mapping[str, Any] = values
        nested = values.get("text_config")
        self.text: Mapping[str, Any] = nested if isinstance(nested, dict) else values

    @property
    def name(self) -> str:
        """The name under which it was saved, or an empty string."""
        name = self.values.get("_name_or_path")
        return name if isinstance(name, str) else ""

    @property
    def backend(self) -> str:
        """`mlx` for weights that mlx-lm wrote, else `transformers`."""
        return "mlx" if isinstance(self.values.get("quantization"), dict) else "transformers"

    @property
    def quantization(self) -> str:
        """`4bit`, `mxfp4`, `bf16`, … as the backend calls it."""
        mlx = self.values.get("quantization")
        if isinstance(mlx, dict):
            mode = mlx.get("mode", "affine")
            return f"{mlx.get('bits')}bit" if mode == "affine" else str(mode)
        stored = str(self.values.get("dtype") or self.values.get("torch_dtype") or "bfloat16")
        return {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}.get(stored, stored)

    def architecture(self) -> Architecture | None:
        """Sizes of the language model, or None for a family that is not known here. Raises `ModelFileError`."""
        family = _FAMILIES.get(str(self.text.get("model_type")))
        if family is None:
            return None
        layers = self._number("num_hidden_layers", 1024)
        hidden, heads = self._number("hidden_size"), self._number("num_attention_heads")
        kv_heads = self._number("num_key_value_heads", default=heads)
        kinds = self._layer_types(family, layers)
        context = self._number("max_position_embeddings", 2**31, default=0)
        tied = self.text.get("tie_embedding", self.text.get("tie_word_embeddings", family != "llama"))
        return Architecture(
            name=family,
            layers=layers,
            kv_heads=tuple(0 if kind == "conv" else kv_heads for kind in kinds),
            hidden=hidden,
            heads=heads,
            head_dim=self._number("head_dim", default=128 if family == "lfm3" else hidden // heads),
            feed_forward=self._feed_forward(family),
            vocabulary=self._number("vocab_size", 2**24),
            conv_cache=self._number("conv_L_cache", default=3) if "conv" in kinds else 0,
            tied_embeddings=bool(tied),
            sliding_window=self._number("sliding_window", 2**31, default=0) if "sliding_attention" in kinds else 0,
            sliding_layers=tuple(i for i, kind in enumerate(kinds) if kind == "sliding_attention"),
            experts=self._number("num_experts", default=0),
            experts_used=self._number("num_experts_per_tok", default=0),
            expert_feed_forward=self._number("moe_intermediate_size", default=0),
            dense_layers=self._number("num_dense_layers", default=0),
            qk_norm=family != "llama",
            context_supported=context,
            context_advertised=context,
        )

    def _layer_types(self, family: str, layers: int) -> list[str]:
        kinds = self.text.get("layer_types")
        if kinds is None:
            attention = self.text.get("full_attn_idxs")
            if not isinstance(attention, list):
                attention = (
                    list(range(layers)) if family == "llama" else self._refuse("does not say which layers attend")
                )
            kinds = ["full_attention" if layer in attention else "conv" for layer in range(layers)]
        if not isinstance(kinds, list) or len(kinds) != layers or not all(isinstance(kind, str) for kind in kinds):
            self._refuse(f"layer_types does not name {layers} layers")
        return kinds

    def _feed_forward(self, family: str) -> int:
        # The rule of transformers' Lfm2MLP, which older configurations rely on.
        width = self._number("block_ff_dim", default=0) or self._number("intermediate_size")
        if family != "lfm2" or not self.text.get("block_auto_adjust_ff_dim", True):
            return width
        multiplier = self.text.get("block_ffn_dim_multiplier", 1.0)
        scaled = int(2 * width / 3)
        if isinstance(multiplier, (int, float)):
            scaled = int(multiplier * scaled)
        return round_up(scaled, self._number("block_multiple_of", default=256))

    def _number(self, key: str, most: int = 2**20, *, default: int | None = None) -> int:
        value = self.text.get(key)
        value = default if value is None else value
        if value is None:
            self._refuse(f"{key} is missing")
        if type(value) is not int or not (0 if default is not None else 1) <= value <= most:
            self._refuse(f"{key} is {value!r}, which makes no model")
        return value

    def _refuse(self, message: str) -> NoReturn:
        raise ModelFileError(f"{self.where}: {message}", hint="use the config.json that came with the weights")
