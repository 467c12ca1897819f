"""Room for what will be made, the names it gets, hashes, and putting it where it belongs in one move."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import NoDiskSpace, RequestError, StoreError
from ..models import disk_room
from ..units import format_bytes

_MARGIN = 0.05  # of what is written
_PIECE = 1024**2


def places(form: str, stem: str, beside: Path, quantizations: tuple[str, ...], out: Path | None) -> list[Path]:
    """Where each quantization goes. Raises `RequestError` where something is in the way."""
    middle = {"gguf": "", "mlx": "-MLX", "onnx": "-ONNX"}[form]
    suffix = ".gguf" if form == "gguf" else ""
    names = [f"{stem}{middle}-{name}{suffix}" for name in quantizations]
    if out is None:
        found = [beside / name for name in names]
    else:
        out = Path(os.path.abspath(out.expanduser()))
        itself = out.suffix.lower() == ".gguf" if form == "gguf" else len(names) == 1 and not out.is_dir()
        if itself and len(names) > 1:
            raise RequestError(f"{out} cannot hold {len(names)} quantizations", hint=f"--out {out.parent}")
        found = [out] if itself else [out / name for name in names]
    for path in found:
        if path.exists():
            raise RequestError(f"{path} is there already", hint="remove it, or name another place: --out PATH")
    return found


def require_room(folder: Path, wanted: int) -> None:
    """Raise `NoDiskSpace` unless `wanted` bytes and a margin fit on the disk of `folder`."""
    wanted = round(wanted * (1 + _MARGIN))
    free = disk_room.free_bytes(folder)
    if free is not None and free < wanted:
        raise NoDiskSpace(
            f"{folder}: {format_bytes(wanted)} are written on the way, {format_bytes(free)} are free there",
            hint=f"free {format_bytes(wanted - free)}, or write to another disk: --out /path/on/a/larger/disk",
        )


@contextlib.contextmanager
def workshop(folder: Path, stem: str) -> Iterator[Path]:
    """A hidden folder on the same disk, gone with all that is in it when the block is left. Raises `StoreError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = tempfile.TemporaryDirectory(prefix=f".{stem[:80]}-", dir=folder)
    except OSError as error:
        raise StoreError(f"{folder} takes no files: {error.strerror or error}", hint="--out /path/you/own") from error
    with made as name:
        try:
            yield Path(name)
        except OSError as error:
            if isinstance(error, StoreError):
                raise
            raise disk_room.disk_error(error, folder, 0) from error


def settle(made: Path, place: Path) -> None:
    """Bring a file or folder to the disk and give it its name."""
    for path in sorted(made.rglob("*")) if made.is_dir() else [made]:
        if path.is_file():
            with contextlib.suppress(OSError), path.open("rb") as file:
                os.fsync(file.fileno())
    place.parent.mkdir(parents=True, exist_ok=True)
    os.replace(made, place)


def digest(path: Path, told: Callable[[float], None] = lambda _: None) -> tuple[str, int]:
    """SHA-256 and bytes. Of a folder: of the lines that `sha256sum` writes for the files in it, sorted by name."""
    if path.is_file():
        return _file_digest(path, told), path.stat().st_size
    lines, size = [], 0
    for one in sorted(
        (one for one in path.rglob("*") if one.is_file()), key=lambda one: one.relative_to(path).as_posix()
    ):
        lines.append(f"{_file_digest(one, lambda _: None)}  {one.relative_to(path).as_posix()}\n")
        size += one.stat().st_size
    return hashlib.sha256("".join(lines).encode()).hexdigest(), size


def _file_digest(path: Path, told: Callable[[float], None]) -> str:
    found, done, size = hashlib.sha256(), 0, max(1, path.stat().st_size)
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            found.update(piece)
            done += len(piece)
            told(done / size)
    return found.hexdigest()
