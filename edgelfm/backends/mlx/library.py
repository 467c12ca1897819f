"""The parts of mlx and mlx-lm that edgelfm uses, found once.

Two facts about them shape this room. A computation that was not yet started belongs to the thread that wrote it down,
and no other thread may finish it; so nothing is left unstarted when a generation hands control back. And importing
mlx-lm sets the process's limit of open files to 2,048.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from types import ModuleType

from ...errors import BackendError, BackendMissing

_HINT = "pip install 'edgelfm[mlx]'"


@dataclass(frozen=True, slots=True)
class Library:
    """Modules."""

    mx: ModuleType  # mlx.core: arrays, and what they are computed on
    trees: ModuleType  # mlx.utils: nested parameters as lists
    models: ModuleType  # mlx_lm.utils: from a folder to a network
    caches: ModuleType  # mlx_lm.models.cache: what a network remembers of the tokens it has seen


@functools.cache
def library() -> Library:
    """Raises `BackendMissing` if MLX or mlx-lm is not installed, `BackendError` if it does not load."""
    try:
        import mlx.core
        import mlx.utils
        import mlx_lm.models.cache
        import mlx_lm.utils
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("mlx", "mlx_lm"):
            raise BackendMissing(f"{missing.replace('_', '-')} is not installed", hint=_HINT) from error
        raise BackendError(f"mlx-lm needs {error.name}, which is not installed here", hint=_HINT) from error
    except (ImportError, OSError) as error:
        # On Linux the package without its CPU or CUDA part is an empty shell.
        raise BackendError(f"MLX is installed but its library does not load: {error}", hint=_HINT) from error
    except ValueError as error:  # setting the limit of open files, where the system allows fewer than mlx-lm wants
        raise BackendError(f"mlx-lm cannot be imported: {error}", hint="ulimit -Hn 4096, then start again") from error
    if mlx.core.default_device() == mlx.core.cpu:
        # On CPUs MLX fuses operations by running a C++ compiler, which takes seconds or is not there, and loads the
        # outcome from a folder in /tmp that anybody can write to. Decoding is no slower without.
        mlx.core.disable_compile()
    return Library(mlx.core, mlx.utils, mlx_lm.utils, mlx_lm.models.cache)
