"""Load a GGUF for the first time in a child process, so that a hostile or broken file cannot take this one down.

llama.cpp aborts the process on some malformed files and had memory-safety bugs in its loader. A file that has loaded
once in a child is remembered by path, size, time and library version, and not tried again.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from ...errors import BackendError, ModelFileError
from ...paths import cache_folder

TIMEOUT_SECONDS = 120.0  # a slow SD card; the child reads the header only
_REMEMBERED = 200  # files


def require_loadable(path: Path, version: str) -> None:
    """Return if llama.cpp can read the header of `path`; raise `ModelFileError` with its reason if not."""
    stat = path.stat()
    key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{version}"
    memory = cache_folder() / "loadable.json"
    known = _recall(memory)
    if key in known:
        return
    hint = "download the file again, or get it from its publisher: `edgelfm pull <model>`"
    try:
        child = subprocess.run(
            [sys.executable, "-m", "edgelfm.backends.llama_cpp.trial", str(path)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelFileError(f"{path}: llama.cpp did not finish reading the header", hint=hint) from error
    except OSError as error:
        raise BackendError(f"cannot start a child process to check {path.name}: {error}") from error
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name if -child.returncode in signal.valid_signals() else "a signal"
        raise ModelFileError(f"{path}: llama.cpp crashed on it ({name}); the file is corrupt or hostile", hint=hint)
    if child.returncode != 0:
        reason = child.stdout.strip() or child.stderr.strip().rpartition("\n")[2] or f"exit code {child.returncode}"
        raise ModelFileError(f"{path}: llama.cpp cannot read it: {reason}", hint=hint)
    _remember(memory, [*known, key][-_REMEMBERED:])


def _recall(memory: Path) -> list[str]:
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []  # a lost memory costs one more trial
    return [key for key in known if isinstance(key, str)] if isinstance(known, list) else []


def _remember(memory: Path, keys: list[str]) -> None:
    with contextlib.suppress(OSError):  # a read-only cache costs one more trial next time
        memory.parent.mkdir(parents=True, exist_ok=True)
        fresh = memory.with_suffix(f".{os.getpid()}.tmp")
        fresh.write_text(json.dumps(keys), encoding="utf-8")
        fresh.replace(memory)


def _try(path: str) -> str:
    """In the child: read header, tensor table and vocabulary without reading weights. Returns the reason on failure."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        # A header that claims a terabyte should meet a wall here, not the out-of-memory killer of the whole board.
        wall = Path(path).stat().st_size + 4 * 1024**3
        resource.setrlimit(resource.RLIMIT_AS, (wall, wall))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from .library import captured, library, repacks

    llama = library()
    with captured() as log:
        params = llama.llama_model_default_params()
        params.use_extra_bufts = repacks()
        params.no_alloc = True
        params.load_mode = llama.LLAMA_LOAD_MODE_NONE
        params.n_gpu_layers = 0
        model = llama.llama_model_load_from_file(path.encode(), params)
        if not model:
            return log.last_error()
        llama.llama_model_free(model)
    return ""


if __name__ == "__main__":
    reason = _try(sys.argv[1])
    print(reason)
    sys.exit(1 if reason else 0)
