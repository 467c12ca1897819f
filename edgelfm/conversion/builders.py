"""Folders for MLX and ONNX Runtime, made by those runtimes' own converters, each in a process of its own.

As a program it runs mlx-lm's, see `child`; onnxruntime-genai's builder is a program itself.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from ..backends.safetensors import read_json
from ..errors import BackendError, UnknownQuantization
from . import child
from .checking import require_runtime

MLX = ("3bit", "4bit", "5bit", "6bit", "8bit", "mxfp4", "mxfp8", "nvfp4", "bf16", "fp16", "fp32")
#: Of what onnxruntime-genai's builder calls precision. Half floats are for graphics processors: on a CPU, for which it
#: is asked to build, ONNX Runtime stops at the second token of fp16, and has no operators for bf16.
ONNX = ("int4", "int8", "fp32")
_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def require_mlx(quantization: str) -> None:
    """Raise `UnknownQuantization`, or `BackendMissing` where mlx-lm is not installed."""
    _require_name("mlx-lm", quantization, MLX)
    require_runtime("mlx", "mlx", "mlx_lm")


def require_onnx(quantization: str) -> None:
    """Raise `UnknownQuantization`, or `BackendMissing` where something that the builder needs is not installed."""
    _require_name("onnxruntime-genai's builder", quantization, ONNX)
    require_runtime("onnx", "onnxruntime", "onnxruntime_genai", "onnx_ir")
    require_runtime("transformers", "torch", "transformers")


def build_mlx(folder: Path, out: Path, quantization: str, half: str) -> None:
    """Write `folder` to `out`, which is not there yet. What is not quantized is stored as `half`: bf16 or fp16."""
    task = {"folder": str(folder), "out": str(out), "quantization": quantization, "half": half}
    child.run(__name__, task, lambda _: None, "mlx-lm's converter")


def build_onnx(folder: Path, out: Path, quantization: str, name: str, scratch: Path) -> None:
    """Write `folder` to `out` as a graph for the CPU with its genai_config.json."""
    arguments = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-m", name, "-i", str(folder)]
    arguments += ["-o", str(out), "-p", quantization, "-e", "cpu", "-c", str(scratch)]
    child.command(arguments, "onnxruntime-genai's builder", str(scratch))
    if not (out / "genai_config.json").is_file():
        raise BackendError("onnxruntime-genai's builder made no genai_config.json", hint="choose another format")
    for file in _TOKENIZER:
        if not (out / file).exists() and (folder / file).is_file():
            shutil.copyfile(folder / file, out / file)


def _require_name(what: str, quantization: str, known: tuple[str, ...]) -> None:
    if quantization not in known:
        raise UnknownQuantization(f"{what} has no quantization {quantization!r}", hint=f"it has {', '.join(known)}")


def _work(task: dict[str, Any], _told: Callable[[float], None]) -> None:
    from ..backends.mlx.library import library

    library()  # which words what is missing or broken
    convert = import_module("mlx_lm").convert
    quantization = task["quantization"]
    options: dict[str, Any] = {"dtype": _DTYPES[quantization if quantization in _DTYPES else task["half"]]}
    if bits := re.fullmatch(r"(\d)bit", quantization):
        options |= {"quantize": True, "q_bits": int(bits[1]), "q_group_size": 64}
    elif quantization not in _DTYPES:
        options |= {"quantize": True, "q_mode": quantization}
    try:
        convert(task["folder"], task["out"], trust_remote_code=False, **options)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise BackendError(
            f"mlx-lm cannot convert it to {quantization}: {error}", hint="choose another format"
        ) from error
    config = Path(task["out"]) / "config.json"  # which still says what the source was stored in
    config.write_text(json.dumps({**read_json(config), "dtype": options["dtype"]}, indent=4), encoding="utf-8")


if __name__ == "__main__":
    child.serve(_work)
