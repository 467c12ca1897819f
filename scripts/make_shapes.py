"""Writes LFM2-350M and LFM2-1.2B with random weights as GGUF, in the sizes, types and vocabulary of the real models.

Memory and speed do not depend on what the weights are, so the benchmarks run on these. They are written once, F16
first, and quantized by llama.cpp's own quantizer; a file that is there is kept. Needs 7 GB of disk and a few minutes.

    python scripts/make_shapes.py [FOLDER]          default: the `shapes` folder of edgelfm's cache
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `tests`, which is no package that could be installed

from edgelfm.errors import BackendError
from edgelfm.paths import cache_folder
from tests.tiny import write_tiny_lfm2

QUANTIZATIONS = ("Q4_0", "Q4_K_M", "Q8_0")


@dataclass(frozen=True, slots=True)
class Shape:
    """A published size. Widths and head counts as in its config.json; both have 16 layers."""

    name: str
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int = 8
    layers: str = "ccaccaccacacacac"
    vocabulary: int = 65536
    context: int = 128000  # what the published headers advertise


SHAPES = (
    Shape("LFM2-350M", hidden=1024, feed_forward=4608, heads=16),
    Shape("LFM2-1.2B", hidden=2048, feed_forward=8192, heads=32),
)


def shapes_folder() -> Path:
    """Where the shapes are kept unless somebody says otherwise."""
    return cache_folder() / "shapes"


def make_shape(shape: Shape, quantization: str, folder: Path) -> Path:
    """The GGUF of `shape` in `quantization` (F16 included), written first if it is not there."""
    path = folder / f"{shape.name}-{quantization}.gguf"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")  # an interrupted run leaves no file that looks whole
    if quantization == "F16":
        write_tiny_lfm2(
            part, layers=shape.layers, hidden=shape.hidden, feed_forward=shape.feed_forward, heads=shape.heads,
            kv_heads=shape.kv_heads, vocabulary=shape.vocabulary, context=shape.context, spread=0.02,
        )  # fmt: skip
    else:
        quantize(make_shape(shape, "F16", folder), part, quantization)
    return part.replace(path)


def make_folder(shape: Shape, folder: Path) -> Path:
    """`shape` in bf16 as a folder of safetensors, for transformers and MLX, written first if it is not there."""
    from edgelfm.bench.peers.conversion import write_folder

    path = folder / f"{shape.name}-bf16"
    if path.exists():
        return path
    part = path.with_suffix(".part")
    part.mkdir(parents=True, exist_ok=True)
    write_folder(make_shape(shape, "F16", folder), part, lambda fraction: None)
    return part.replace(path)


def quantize(source: Path, target: Path, quantization: str) -> None:
    """Quantize a GGUF as `llama-quantize` does. Raises `BackendError`."""
    import llama_cpp

    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{quantization}")
    params.nthread = os.cpu_count() or 1
    if status := llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params)):
        raise BackendError(f"llama.cpp could not quantize {source.name} to {quantization} (status {status})")


def main() -> None:
    import llama_cpp

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=shapes_folder())
    folder = parser.parse_args().folder
    silent = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p())
    for shape in SHAPES:
        for quantization in QUANTIZATIONS:
            started = time.monotonic()
            path = make_shape(shape, quantization, folder)
            print(f"{path}  {path.stat().st_size:,} bytes  {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
