"""llama.cpp's own quantizer, in a process of its own.

As a program it reads one task, see `child`. Which types it gives the tensors of a quantization is its own choice, and
`models.quantizer` knows it beforehand.
"""

from __future__ import annotations

import ctypes
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import BackendError, ModelFileError, UnknownQuantization
from . import child

#: What a file is written as without being quantized.
FLOATS = ("F32", "F16", "BF16")
_NEED_IMATRIX = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "Q2_K_S")
_NOT_MADE = ("NVFP4",)  # which llama.cpp computes with, and its quantizer does not write
_PREFIX = "LLAMA_FTYPE_MOSTLY_"
_COUNTER = re.compile(r"\[\s*(\d+)/\s*(\d+)\]")


def require_known(names: Sequence[str], *, imatrix: bool) -> None:
    """Raise `UnknownQuantization` for what llama.cpp does not know, or does not do without an importance matrix."""
    from ..backends.llama_cpp.library import library

    known = [name.removeprefix(_PREFIX) for name in dir(library()) if name.startswith(_PREFIX)]
    for name in names:
        if name not in (*FLOATS, *known) or name in _NOT_MADE:
            usual = "Q4_0, Q4_K_M, Q5_K_M, Q6_K, Q8_0, F16, BF16"
            raise UnknownQuantization(f"llama.cpp has no quantization {name!r}", hint=f"usual are {usual}")
        if name in _NEED_IMATRIX and not imatrix:
            raise UnknownQuantization(
                f"{name} needs an importance matrix",
                hint="--calibrate FILE, with a text, or --imatrix FILE; or take Q4_0",
            )


def quantize(base: Path, out: Path, name: str, imatrix: Path | None, told: Callable[[float], None]) -> None:
    """Write `base`, a GGUF in F32, F16 or BF16, to `out` in the quantization `name`. Raises `BackendError`."""
    task = {"base": str(base), "out": str(out), "name": name, "imatrix": str(imatrix) if imatrix else None}
    child.run(__name__, task, told, "llama.cpp's quantizer")


def _work(task: dict[str, Any], told: Callable[[float], None]) -> None:
    from ..backends.llama_cpp.library import ERROR_LEVEL, library

    llama = library()
    said: list[str] = []

    @llama.llama_log_callback  # type: ignore[untyped-decorator]
    def listen(level: int, text: bytes | None, _data: object) -> None:
        line = (text or b"").decode("utf-8", "replace").strip()
        if level == ERROR_LEVEL and line:
            said.append(re.sub(r"^\w+: ", "", line))
        if found := _COUNTER.match(line):
            told(int(found[1]) / int(found[2]))

    llama.llama_log_set(listen, ctypes.c_void_p(0))
    params = llama.llama_model_quantize_default_params()
    params.ftype = getattr(llama, _PREFIX + task["name"])
    kept = None
    if task["imatrix"]:
        kept, params.imatrix = _importances(llama, Path(task["imatrix"]), Path(task["base"]))
    status = llama.llama_model_quantize(task["base"].encode(), task["out"].encode(), ctypes.byref(params))
    del kept
    if status:
        reason = said[0] if said else "it gave no reason"
        raise BackendError(f"llama.cpp could not quantize to {task['name']}: {reason}", hint="choose Q4_0 or Q8_0")


def _importances(llama: Any, path: Path, base: Path) -> tuple[object, object]:
    """What keeps the values alive, and the list of them that llama.cpp takes, which an empty entry ends.

    Raises `ModelFileError` for those of another model: llama.cpp would quantize without them and not say so.
    """
    from ..models.gguf import read_header
    from .imatrix import read_imatrix

    read = read_imatrix(path)
    inputs = {one.name: one.shape[0] * math.prod(one.shape[2:]) for one in read_header(base).tensors}
    if not any(inputs.get(name) == values.size for name, values in read.items()):
        raise ModelFileError(
            f"the importance matrix {path} is of another model: none of its {len(read)} matrices is in this one",
            hint="have one computed: --calibrate FILE, with a text",
        )
    entry = llama.llama_model_imatrix_data
    entries = (entry * (len(read) + 1))()
    for one, (name, values) in zip(entries, read.items(), strict=False):
        one.name = name.encode()
        one.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        one.size = values.size
    return (read, entries), ctypes.cast(entries, ctypes.POINTER(entry))


if __name__ == "__main__":
    child.serve(_work)
