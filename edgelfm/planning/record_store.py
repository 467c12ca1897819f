"""Records on disk: one JSON file in the cache folder, shared by every process and every machine that sees the folder.

The only module of planning that opens a file. Whatever is wrong with the file costs a measurement and never an error:
what cannot be read is left out and a remark says so, what cannot be written is told to the caller. A process that is
killed while it writes leaves the file as it was.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ..paths import cache_folder
from .record_codec import read_record
from .records import Record

SCHEMA = 1  # of the file; another number is a file of another version, and is measured anew
LIMIT = 256  # records; the oldest go first. Some 300 KB, a few milliseconds to read
LARGEST = 4 * 1024**2  # bytes; a larger file was not written here


@dataclass(frozen=True, slots=True)
class Stored:
    """What the file holds, and what is wrong with it in words for people."""

    records: tuple[Record, ...] = ()
    remarks: tuple[str, ...] = ()


def path() -> Path:
    """The file, whether it is there or not."""
    return cache_folder() / "records.json"


def look() -> Stored:
    """Everything that is readable, oldest first, and remarks about the rest. Never raises."""
    file = path()
    try:
        if file.stat().st_size > LARGEST:
            return Stored((), (f"{file}: too large to be a file of measurements; measuring again replaces it",))
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Stored()
    except OSError as error:
        return Stored((), (f"{file}: {error.strerror or error}; what was measured here is not used",))
    except (ValueError, RecursionError) as error:
        return Stored((), (f"{file}: not JSON ({error}); measuring again replaces it",))
    if not isinstance(data, dict) or data.get("schema") != SCHEMA or not isinstance(data.get("records"), list):
        return Stored((), (f"{file}: written by another version; measuring again replaces it",))
    found: list[Record] = []
    broken = ""
    for index, one in enumerate(data["records"]):
        try:
            found.append(read_record(one))
        except ValueError as error:
            broken = broken or f"{file}: record {index + 1} is left out: {error}"
    return Stored(tuple(found[-LIMIT:]), (broken,) if broken else ())


def read() -> tuple[Record, ...]:
    """The records alone. Never raises."""
    return look().records


def keep(record: Record) -> str | None:
    """Keep `record` in place of an older one with its key. Returns why it could not be kept, or None.

    Safe beside other processes that do the same: none of their records is lost.
    """
    if not record.plausible:
        return "the times measured make no sense"
    return _change(lambda kept: [*(one for one in kept if one.key != record.key), record])


def forget(host: str) -> str | None:
    """Drop what was measured on the host of that fingerprint. Returns why that could not be done, or None."""
    return _change(lambda kept: [one for one in kept if one.host != host])


def _change(change: Callable[[Sequence[Record]], list[Record]]) -> str | None:
    file = path()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with _locked(file.with_name(file.name + ".lock")):
            records = sorted(change(read()), key=lambda one: one.measured_at)[-LIMIT:]
            text = json.dumps({"schema": SCHEMA, "records": [asdict(one) for one in records]}, indent=1)
            part = file.with_name(file.name + ".part")  # one name is enough, for only the holder of the lock writes
            with part.open("w", encoding="utf-8") as out:
                out.write(text)
                out.flush()
                os.fsync(out.fileno())
            os.replace(part, file)
    except OSError as error:
        return f"{file}: {error.strerror or error}"
    return None


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Hold a lock that the system takes back when the process ends, however it ends."""
    with file.open("a+b") as lock:
        if sys.platform == "win32":
            import msvcrt

            lock.seek(0)
            msvcrt.locking(lock.fileno(), msvcrt.LK_LOCK, 1)
            try:
                yield
            finally:
                lock.seek(0)
                msvcrt.locking(lock.fileno(), msvcrt.LK_UNLCK, 1)
        else:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
            yield  # closing the file gives the lock back
