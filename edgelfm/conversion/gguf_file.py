"""Writes a model as GGUF with its weights as F32, F16 or BF16, a piece of a tensor at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..backends.adapter import Adapter
from ..backends.weights import Weights
from ..errors import ModelFileError
from .header import frequencies, write_card, write_network
from .naming import Target, gguf_library, targets
from .source import Source
from .tokenizer import Tokenizer

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_FILE_TYPES = {"F32": "ALL_F32", "F16": "MOSTLY_F16", "BF16": "MOSTLY_BF16"}
_ROPE_FREQS = "rope_freqs.weight"
_BEYOND_F16 = 65520.0  # from here on it rounds to infinity


def write_gguf(
    path: Path,
    source: Source,
    tokenizer: Tokenizer,
    kind: str,
    *,
    adapter: Adapter | None = None,
    told: Callable[[float], None] = lambda _: None,
) -> None:
    """Write `path` with matrices as `kind`. `told` hears how far it got, 0 to 1.

    Raises `ModelFileError` for weights that do not fit the configuration or are no numbers, `BackendMissing` without
    the package `gguf`.
    """
    import numpy as np

    gguf = gguf_library()
    divisors = frequencies(source)
    with Weights(source.folder, adapter) as weights:
        wanted = targets(source.net, weights.stored, kind)
        writer = gguf.GGUFWriter(path, source.net.name)
        try:
            writer.add_type("model")
            write_card(writer, source, adapter.lora.name if adapter else "", gguf)
            writer.add_file_type(gguf.LlamaFileType[_FILE_TYPES[kind]])
            writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
            write_network(writer, source, gguf)
            tokenizer.write(writer)
            if divisors is not None:
                writer.add_tensor_info(_ROPE_FREQS, divisors.shape, divisors.dtype, divisors.nbytes)
            for one in wanted:
                # The shape stands for itself: any dtype but uint8 does, which would mean bytes of blocks.
                stored = gguf.GGMLQuantizationType[one.type]
                writer.add_tensor_info(one.name, one.shape, np.dtype(np.float16), one.bytes, raw_dtype=stored)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            file = writer.fout[0]
            writer.write_padding(file, file.tell())
            if divisors is not None:
                file.write(divisors.tobytes())
                writer.write_padding(file, divisors.nbytes)
            _write_weights(writer, weights, wanted, told)
        finally:
            writer.close()


def _write_weights(writer: object, weights: Weights, wanted: list[Target], told: Callable[[float], None]) -> None:
    import numpy as np

    gguf = gguf_library()
    file = writer.fout[0]  # type: ignore[attr-defined]
    total, done = sum(one.bytes for one in wanted), 0
    for one in wanted:
        kind = gguf.GGMLQuantizationType[one.type]
        for rows in one.pieces(weights):
            _require_numbers(one, rows)
            packed = gguf.quants.quantize(np.ascontiguousarray(rows), kind)
            file.write(packed.tobytes())
            done += packed.nbytes
            told(done / total)
        writer.write_padding(file, one.bytes)  # type: ignore[attr-defined]


def _require_numbers(one: Target, rows: Array) -> None:
    """Raise `ModelFileError` for what would make every answer NaN, named while it is still known where it lies."""
    import numpy as np

    largest = float(max(rows.max(), -rows.min()))  # NaN if one of them is
    if not np.isfinite(largest):
        _refuse(
            f"the weights of {one.name} are not all numbers: some are NaN or infinite",
            "the training went astray: take a checkpoint from before",
        )
    if one.type == "F16" and largest >= _BEYOND_F16:
        _refuse(f"{one.name} holds {largest:.3g}, more than F16 can", "take another one: --quantization BF16")


def _refuse(reason: str, hint: str) -> NoReturn:
    raise ModelFileError(reason, hint=hint)
