"""A LoRA as the GGUF file that llama.cpp lets run beside a model: written once, and found again.

The matrices keep their 32 bits, or have 16 where they were saved in as many. The scale of each change is in its B, so
that every one can have its own.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ..backends.adapter import Adapter
from ..errors import ModelFileError
from ..models.tensors import tensors
from ..paths import cache_folder
from .naming import gguf_library, head_rows, name_map, neighbours
from .source import ARCHITECTURES

if TYPE_CHECKING:
    from ..models.architecture import Architecture
    from ..models.lora import Lora


def as_read_by(backend: str, lora: Lora, net: Architecture | None) -> Path:
    """The adapter as `backend` reads it, for a model with the network `net`. Raises like `lora_file`."""
    return lora_file(lora, net) if backend == "llama.cpp" else lora.path


def lora_file(lora: Lora, net: Architecture | None) -> Path:
    """The adapter for a model with the network `net`, in the cache folder if it was not a GGUF file already.

    Raises `ModelFileError` for one that does not fit or has to be merged, `BackendMissing` without the package `gguf`.
    """
    if lora.form == "gguf":
        return lora.path
    if net is None or net.name not in ARCHITECTURES.values():
        known = ", ".join(dict.fromkeys(ARCHITECTURES.values()))
        raise ModelFileError(
            f"the adapter {lora.where} cannot be written for llama.cpp: the names of its tensors are known for {known}",
            hint="make a .gguf of it with llama.cpp's convert_lora_to_gguf.py, or merge it with PEFT",
        )
    adapter = Adapter(lora)
    kind = f"{net.name}-{net.layers}-{net.hidden}-{net.head_dim}"
    path = cache_folder() / "adapters" / f"{adapter.digest.replace(' ', '-')}-{kind}.gguf"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
        try:
            write_lora(unfinished, adapter, net)
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
    return path


def write_lora(path: Path, adapter: Adapter, net: Architecture) -> None:
    """Write `adapter` to `path` for models with the network `net`. Raises like `lora_file`."""
    import numpy as np

    gguf = gguf_library()
    names = name_map(net)
    number = np.float16 if adapter.halved else np.float32
    shapes = {one.name: one.shape[::-1] for one in tensors(net, "F16")}
    writer = gguf.GGUFWriter(path, net.name)
    try:
        writer.add_type("adapter")
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, 0.0)  # no other scale than what is in B
        for module, delta in adapter.beside():
            name = names.get_name(f"{module}.weight", try_suffixes=(".weight",))
            shape, adds = shapes.get(name or ""), (len(delta.b), delta.a.shape[1])
            if name is None or shape is None or len(shape) != 2 or "shortconv.conv" in name:
                _refuse(adapter, f"changes {module}, which is no matrix of this model")
            if tuple(shape) != adds:
                _refuse(adapter, f"adds {adds} to {module}, which is {tuple(shape)}")
            b, head = np.float32(delta.scale) * delta.b, head_rows(net, name)
            for half, values in (("a", delta.a), ("b", neighbours(b, head) if head else b)):
                writer.add_tensor(f"{name}.lora_{half}", np.ascontiguousarray(values, number))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _refuse(adapter: Adapter, reason: str) -> NoReturn:
    raise ModelFileError(f"the adapter {adapter.lora.where} {reason}", hint="give the model it was trained on")
