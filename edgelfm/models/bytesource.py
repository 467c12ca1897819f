"""Bytes by range, from a file or from a hub, with a window that moves forward over them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NoReturn, Protocol

from ..errors import ModelFileError

FIRST_READ = 256 * 1024
LARGEST_READ = 4 * 1024**2  # each read is twice the one before, up to this


class ByteSource(Protocol):
    """Something that gives bytes by range."""

    name: str
    size: int | None  # bytes in all, where known

    def read(self, start: int, length: int) -> bytes:
        """Up to `length` bytes from `start`; fewer only where the source ends."""
        ...


class RangeReader(Protocol):
    """The part of a hub that reads one range of a file."""

    def read_range(self, repo: str, filename: str, start: int, length: int, revision: str = "main") -> bytes:
        """Up to `length` bytes of a file from `start`."""
        ...


class FileBytes:
    """A file on this disk. Raises `ModelFileError` if it cannot be opened or read."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        try:
            if path.exists() and not path.is_file():
                raise ModelFileError(f"{path}: is not a file", hint="give the path of a .gguf file")
            self.size: int | None = path.stat().st_size
            self._file: BinaryIO = path.open("rb")
        except OSError as failure:
            raise _unreadable(self.name, failure) from failure

    def read(self, start: int, length: int) -> bytes:
        """Up to `length` bytes from `start`."""
        try:
            self._file.seek(start)
            return self._file.read(length)
        except OSError as failure:
            raise _unreadable(self.name, failure) from failure

    def __enter__(self) -> FileBytes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


class HubBytes:
    """A file of a hub, read by HTTP range. Errors are the hub's own."""

    def __init__(self, hub: RangeReader, repo: str, filename: str, size: int | None, revision: str = "main") -> None:
        self.name = f"{repo}/{filename}"
        self.size = size
        self._hub, self._repo, self._filename, self._revision = hub, repo, filename, revision

    def read(self, start: int, length: int) -> bytes:
        """Up to `length` bytes from `start`."""
        wanted = length if self.size is None else min(length, self.size - start)
        return self._hub.read_range(self._repo, self._filename, start, wanted, self._revision) if wanted > 0 else b""


class Window:
    """The bytes of a source from `start` to `end`. It moves forward only, and never holds more than it was asked for
    and one read."""

    def __init__(self, source: ByteSource) -> None:
        self.data = b""
        self.start = 0
        self._source = source
        self._step = FIRST_READ

    @property
    def end(self) -> int:
        """Position behind the last byte held."""
        return self.start + len(self.data)

    def cover(self, at: int, count: int, ended: Callable[[int], NoReturn]) -> None:
        """Hold the bytes from `at` to `at + count`. Calls `ended` with the wanted position if the source is shorter."""
        if at >= self.start and at + count <= self.end:
            return
        kept = self.data[at - self.start :] if self.start <= at < self.end else b""
        held = [kept]
        reach = at + len(kept)
        while reach < at + count:
            piece = self._source.read(reach, max(self._step, min(at + count - reach, LARGEST_READ)))
            if not piece:
                ended(at + count)
            held.append(piece)
            reach += len(piece)
            self._step = min(self._step * 2, LARGEST_READ)
        self.data, self.start = b"".join(held), at


def _unreadable(name: str, failure: OSError) -> ModelFileError:
    return ModelFileError(f"{name}: cannot be read: {failure.strerror or failure}", hint=f"check the path {name}")
