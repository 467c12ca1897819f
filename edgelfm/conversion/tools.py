"""Whether all that a conversion needs is there, and what was asked for makes sense: told now, and not after minutes."""

from __future__ import annotations

from pathlib import Path

from ..errors import RequestError


def require_tools(form: str, names: tuple[str, ...], imatrix: Path | None, calibrates: bool) -> None:
    """Raise `BackendMissing`, `UnknownQuantization` or `RequestError` now, and not after minutes."""
    if imatrix is not None and calibrates:
        raise RequestError("there is an importance matrix, and a text to compute another from", hint="leave one out")
    if form == "gguf":
        from .naming import gguf_library
        from .quantizing import FLOATS, require_known

        gguf_library()
        require_known(names, imatrix=imatrix is not None or calibrates)
        if calibrates and set(names) <= set(FLOATS):
            raise RequestError(f"{','.join(names)} quantizes nothing", hint="leave the text to calibrate with out")
        if imatrix is not None:
            from .imatrix import read_imatrix

            read_imatrix(imatrix)
        return
    from .builders import require_mlx, require_onnx

    if imatrix is not None or calibrates:
        raise RequestError("an importance matrix is for llama.cpp's quantizer", hint="leave it out, or --to gguf")
    for name in names:
        (require_mlx if form == "mlx" else require_onnx)(name)
