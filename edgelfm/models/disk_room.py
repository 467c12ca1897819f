"""Whether the files of a download fit on the disk, asked before the first byte of any of them is fetched."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from pathlib import Path

from ..errors import NoDiskSpace, StoreError
from ..units import format_bytes

MARGIN = 0.20  # of what is still to come; a disk that is full to the brim slows down and breaks other programs


def check_room(names: Sequence[str], missing: int, folder: Path) -> None:
    """Raise `NoDiskSpace` unless `missing` bytes and a margin fit on the disk of `folder`.

    `missing` leaves out what has arrived already, here or in a partial file.
    """
    if missing <= 0:
        return
    free = free_bytes(folder)
    wanted = missing + round(missing * MARGIN)
    if free is None or free >= wanted:
        return
    what = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    raise NoDiskSpace(
        f"{what}: {format_bytes(missing)} are still to come, {format_bytes(wanted)} with a margin of {MARGIN:.0%}, "
        f"and {folder} has {format_bytes(free)} free",
        hint=f"free {format_bytes(wanted - free)} there (hf cache ls shows what models take), "
        "or use another disk: export HF_HUB_CACHE=/path/on/a/larger/disk",
    )


def free_bytes(folder: Path) -> int | None:
    """Bytes that this user may still write on the disk where `folder` is or will be; None if nobody tells."""
    for place in (folder, *folder.parents):
        try:
            return shutil.disk_usage(place).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None


def disk_error(failure: OSError, folder: Path, arrived: int) -> StoreError:
    """What a failed write to a file in `folder` means. `arrived` bytes of it are kept."""
    another = "export HF_HUB_CACHE=/path/on/another/disk"
    if failure.errno in (errno.ENOSPC, errno.EDQUOT):
        free = free_bytes(folder)
        left = f"; {format_bytes(free)} are free there" if free is not None else ""
        return NoDiskSpace(
            f"the disk of {folder} is full after {format_bytes(arrived)} of this file, which are kept{left}",
            hint=f"free some room and run it again, or: {another}",
        )
    if failure.errno == errno.EFBIG:
        return NoDiskSpace(
            f"{folder} does not take files of more than {format_bytes(arrived)}: its file system or a limit of this "
            "process (ulimit -f) forbids it",
            hint=f"FAT32 ends at 4 GiB; use a disk with ext4 or exFAT: {another}",
        )
    return StoreError(
        f"cannot write to {folder}: {failure.strerror or failure}", hint=f"check its owner, or: {another}"
    )
