"""Files that are whole at every moment: a reader, or whoever comes after a crash, finds the old one or the new one.

The new file is written beside the old one under a temporary name, brought to the disk, and renamed. While it is written
it is locked; the system takes the lock away from a process that dies, and so tells leftovers from work under way.
Knows nothing of what the files hold.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .errors import NoDiskSpace
from .units import format_bytes

Part = bytes | bytearray | memoryview

_SUFFIX = ".part"
_NAME = 100  # bytes of the file's name in the temporary one; most file systems allow 255
_OLD = 3600.0  # seconds after which Windows, which has no such locks, calls a temporary file a leftover
_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
_WINDOWS = sys.platform == "win32"


def write_atomically(path: Path, parts: Sequence[Part]) -> None:
    """Put a file made of these parts in the place of `path`. A link is followed, and permissions stay as they are.

    What writers of the same file left behind when they were killed is removed. Raises `NoDiskSpace`, and `OSError`
    where the folder takes no files; the old file is untouched then.
    """
    path = Path(os.path.realpath(path))
    wanted = sum(memoryview(part).nbytes for part in parts)
    _remove_leftovers(path)
    if wanted > (free := shutil.disk_usage(path.parent).free):
        raise _no_space(path, wanted, f"{format_bytes(free)} are free there")
    mode = _mode(path)
    temporary, file = _create(path, 0o666 if mode is None else mode)
    try:
        with os.fdopen(file, "wb", buffering=0) as target:
            for part in parts:
                _write_all(target.fileno(), memoryview(part).cast("B"))
            os.fsync(target.fileno())
            if mode is not None:
                os.chmod(temporary, mode)  # what the umask took from it
            if not _WINDOWS:  # renamed while it is locked, so that nobody takes it for a leftover in between
                os.replace(temporary, path)
        if _WINDOWS:  # which renames no open file
            os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno in _FULL:
            raise _no_space(path, wanted, error.strerror or "it is full") from error
        raise
    _sync_folder(path.parent)


def _mode(path: Path) -> int | None:
    """Permissions of the file as it is, None if there is none yet."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return None


def _create(path: Path, mode: int) -> tuple[Path, int]:
    """A temporary file beside `path`, opened and locked."""
    while True:
        temporary = path.with_name(f"{_prefix(path)}{secrets.token_hex(4)}{_SUFFIX}")
        file = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
        if lock(file) is not False and temporary.exists():
            return temporary, file
        os.close(file)  # somebody saw it before it was locked, and takes it for a leftover


def _write_all(file: int, data: memoryview) -> None:
    while data:
        data = data[os.write(file, data[: 1 << 26]) :]


def _remove_leftovers(path: Path) -> None:
    """Remove temporary files for `path` whose writers are dead."""
    prefix = _prefix(path)
    with os.scandir(path.parent) as entries:
        found = [entry.path for entry in entries if entry.name.startswith(prefix) and entry.name.endswith(_SUFFIX)]
    for leftover in found:
        with contextlib.suppress(OSError):  # another process was faster, or it belongs to another user
            if _WINDOWS:
                if time.time() - os.stat(leftover).st_mtime > _OLD:
                    os.unlink(leftover)
                continue
            file = os.open(leftover, os.O_RDWR | os.O_NOFOLLOW)
            try:
                if lock(file):
                    os.unlink(leftover)
            finally:
                os.close(file)


def lock(file: int) -> bool | None:
    """Lock an open file until it is closed. False if somebody else has it, None if there are no locks here."""
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _prefix(path: Path) -> str:
    return "." + os.fsdecode(os.fsencode(path.name)[:_NAME]) + "."


def _sync_folder(folder: Path) -> None:
    """Bring the new name to the disk. Without it the rename may be lost with the power, but never half done."""
    if _WINDOWS:
        return
    with contextlib.suppress(OSError):  # some network file systems refuse to sync a folder
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def _no_space(path: Path, wanted: int, why: str) -> NoDiskSpace:
    return NoDiskSpace(
        f"{path}: {format_bytes(wanted)} cannot be written: {why}",
        hint="free some room, or write to another disk; what was there before is untouched",
    )
