"""Room for what will be made, the names it gets, hashes, and putting it where it belongs in one move."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..atomic import lock
from ..errors import BackendError, NoDiskSpace, RequestError, StoreError
from ..models import disk_room
from ..units import format_bytes

_MARGIN = 0.05  # of what is written
_PIECE = 1024**2
_PART = ".part"  # what the name of a workshop ends in
_NEXT_TO_NOTHING = 1024**2  # bytes; a disk is full before it has none
_YOUNG = 60.0  # seconds in which a workshop may not be locked yet


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
    """A hidden folder on the same disk, gone with all that is in it when the block is left. Raises `StoreError`.

    It is locked meanwhile, which tells it from what a conversion that was killed left behind.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = tempfile.TemporaryDirectory(prefix=_prefix(stem), suffix=_PART, dir=folder)
    except OSError as error:
        raise StoreError(f"{folder} takes no files: {error.strerror or error}", hint="--out /path/you/own") from error
    with made as name, _locked(Path(name)):
        try:
            yield Path(name)
        except StoreError:
            raise
        except (OSError, BackendError) as error:  # the second of a process that could not write
            if (failure := _disk_failure(error, folder)) is not None:
                raise failure from error
            raise


def _disk_failure(error: Exception, folder: Path) -> StoreError | None:
    """What an error means if the disk of `folder` is to blame for it."""
    another = "write to another disk: --out /path/on/another/disk"
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return NoDiskSpace(f"{folder} does not take files so large", hint=f"FAT32 ends at 4 GiB; {another}")
    free = disk_room.free_bytes(folder)
    if free is not None and free < _NEXT_TO_NOTHING:
        return NoDiskSpace(f"the disk of {folder} became full on the way", hint=f"free some room, or {another}")
    if isinstance(error, OSError):
        return StoreError(f"cannot write to {folder}: {error.strerror or error}", hint=f"check its owner, or {another}")
    return None


def remove_leftovers(folder: Path, stem: str) -> None:
    """Remove the workshops of conversions to `stem` that were killed: they may hold gigabytes, and nobody sees them."""
    with contextlib.suppress(OSError):
        for left in folder.glob(f"{glob.escape(_prefix(stem))}*{_PART}"):
            if time.time() - left.stat().st_mtime > _YOUNG:
                with _locked(left) as free:
                    if free:
                        shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool | None]:
    """Lock a folder. False if somebody else has it, None where there are no locks."""
    if sys.platform == "win32":
        yield None
        return
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield lock(held)
    finally:
        os.close(held)


def _prefix(stem: str) -> str:
    return f".{stem[:80]}-"


def settle(made: Path, place: Path, *, instead: bool = False) -> None:
    """Bring a file or folder to the disk and give it its name, in the place of one that has it if `instead`."""
    for path in sorted(made.rglob("*")) if made.is_dir() else [made]:
        if path.is_file():
            with contextlib.suppress(OSError), path.open("rb") as file:
                os.fsync(file.fileno())
    place.parent.mkdir(parents=True, exist_ok=True)
    if instead and place.is_dir():  # which nothing can be renamed over
        shutil.rmtree(place)
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
