"""Weights in 8 or 4 bits, made while they are loaded, by whichever library for that is installed."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import Any

from ...errors import BackendMissing, RequestError
from ...planning.on_the_fly import BITS, maker, makers

ON_THE_FLY = tuple(BITS)


def on_the_fly(quantization: str, device: str) -> Any:
    """What transformers wants to be told. `quantization` is "int8" or "int4".

    Raises `RequestError` where nobody can do it on `device`, `BackendMissing` if none of those who can is installed.
    """
    able = makers(quantization, device)
    if not able:
        raise RequestError(
            f"nothing makes {quantization} on {device}",
            hint='choose quantization "bf16", or backend "llama.cpp" for fewer bits',
        )
    chosen = maker(quantization, device, [name for name in able if find_spec(name) is not None])
    if chosen is None:
        raise BackendMissing(f"{quantization} needs {' or '.join(able)}", hint=f"pip install {able[0]}")
    if chosen == "bitsandbytes":
        from transformers import BitsAndBytesConfig

        # Of every matrix it would say that it computes in f16 what comes in bf16.
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        if quantization == "int8":
            return BitsAndBytesConfig(load_in_8bit=True)
        return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype="bfloat16")
    from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig
    from transformers import TorchAoConfig

    return TorchAoConfig(Int8WeightOnlyConfig() if quantization == "int8" else Int4WeightOnlyConfig())
