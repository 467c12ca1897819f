"""Weights in 8 or 4 bits, made while they are loaded to a GPU, by whichever library for that is installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from ...errors import BackendMissing, RequestError

ON_THE_FLY = ("int8", "int4")


def on_the_fly(quantization: str, device: str) -> Any:
    """What transformers wants to be told. `quantization` is "int8" or "int4".

    Raises `RequestError` where there is no CUDA, `BackendMissing` if neither bitsandbytes nor torchao is installed.
    """
    if not device.startswith("cuda"):
        raise RequestError(
            f"{quantization} is made by kernels for CUDA, and this is {device}",
            hint='choose quantization "bf16", or backend "llama.cpp" for fewer bits',
        )
    if find_spec("bitsandbytes") is not None:
        from transformers import BitsAndBytesConfig

        if quantization == "int8":
            return BitsAndBytesConfig(load_in_8bit=True)
        return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype="bfloat16")
    if find_spec("torchao") is not None:
        from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig
        from transformers import TorchAoConfig

        return TorchAoConfig(Int8WeightOnlyConfig() if quantization == "int8" else Int4WeightOnlyConfig())
    raise BackendMissing(f"{quantization} needs bitsandbytes or torchao", hint="pip install bitsandbytes")
