"""One file from a hub to the cache: continued where it was cut, checked before it counts, written by one process.

huggingface-hub from version 2 on throws away what has arrived when a download fails. On a slow line, or a board that
loses power, a model of gigabytes would then never arrive, so the bytes are moved here, through its session and into its
cache. Plain HTTP is used throughout, also where the Hub offers xet: its storage serves ranges, and xet cannot go on
where it was cut.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..errors import DownloadFailed, HashMismatch
from .checksum import Checksum
from .disk_room import disk_error
from .hub import RemoteFile
from .hub_cache import RepoFolder
from .hub_errors import Failure, Target
from .hub_requests import Retry, answer_to, repeat
from .hub_settings import HubSettings
from .progress import Meter


def download(
    remote: RemoteFile, folder: RepoFolder, settings: HubSettings, meter: Meter, *, sha256: str | None = None
) -> Path:
    """The finished blob of `remote`. Waits while another process downloads it, and takes what that one got.

    `sha256` is what the bytes have to be where the hub publishes no such hash itself. Raises `HashMismatch`,
    `NoDiskSpace`, `DownloadFailed`, `AccessDenied`, `RemoteFileMissing`. Whatever happens, Ctrl-C included, sound bytes
    that have arrived stay and no lock does.
    """
    blob, partial = folder.blob(remote.etag), folder.partial(remote.etag)
    for parent in (blob.parent, folder.lock(remote.etag).parent):
        parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.lock(remote.etag), remote, meter):
        if blob.exists():
            meter.begin(remote.name, blob.stat().st_size)
            meter.end()
            return blob
        with _Partial(partial, remote, sha256) as file:
            left = file.arrived
            meter.begin(remote.name, left)
            _fill(file, remote, settings, meter)
            if left and not file.is_sound():
                # A power cut can leave a file of the right length with zeros at its end. That is worth one more try.
                meter.note(f"what an earlier download left of {remote.name} is damaged; starting over")
                meter.advance(-file.restart())
                _fill(file, remote, settings, meter)
            if not file.is_sound():
                file.discard()
                raise HashMismatch(
                    f"{remote.repo}/{remote.name}: the bytes that came are not the ones that were published; "
                    f"{file.difference()}. They were deleted",
                    hint="run it again; if that does not help, a proxy changes bytes or the file on the Hub is broken",
                )
            file.settle()
        partial.replace(blob)
        meter.end()
    return blob


def _fill(file: _Partial, remote: RemoteFile, settings: HubSettings, meter: Meter) -> None:
    """Fetch what is missing, over as many connections as it takes."""
    retry = Retry(settings.patience, meter.note)
    target = Target(remote.repo, remote.name, remote.commit)

    def ask() -> None:
        start = file.arrived
        if start == remote.bytes:
            return
        headers = {"range": f"bytes={start}-"} if start else {}
        try:
            with answer_to("GET", remote.url, target, settings, headers=headers) as answer:
                if start and not _continues(answer, start):
                    meter.advance(-file.restart())
                for piece in answer.iter_bytes():
                    file.add(piece)
                    meter.advance(len(piece))
                    retry.advanced()
                    if remote.bytes is not None and file.arrived > remote.bytes:
                        return
        except Failure as failure:
            if failure.status == 416 and start:  # the hub's file is shorter than what we have of it
                meter.advance(-file.restart())
                failure.passing = True
            raise
        if remote.bytes is not None and file.arrived < remote.bytes:
            raise Failure(
                DownloadFailed(
                    f"{settings.endpoint} ended {target} after {file.arrived} of {remote.bytes} bytes",
                    hint="run it again: what has arrived is kept, and the download goes on from there",
                ),
                passing=True,
            )

    repeat(ask, retry)


def _continues(answer: object, start: int) -> bool:
    """Whether the answer begins at byte `start`; some proxies ignore ranges and send the whole file."""
    headers: dict[str, str] = getattr(answer, "headers", {})
    return getattr(answer, "status_code", 0) == 206 and headers.get("content-range", "").startswith(f"bytes {start}-")


@contextmanager
def _alone(lock: Path, remote: RemoteFile, meter: Meter) -> Iterator[None]:
    """Hold the lock that huggingface-hub takes for this blob; the system lets go of it if this process dies."""
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]  # public, and not in __all__

    with ExitStack() as held:
        try:
            held.enter_context(WeakFileLock(lock, timeout=0.1))
        except TimeoutError:
            meter.note(f"another process is downloading {remote.name}; waiting for it")
            held.enter_context(WeakFileLock(lock))
        yield


class _Partial:
    """A file that grows at its end, and the checksum of what it holds."""

    def __init__(self, path: Path, remote: RemoteFile, sha256: str | None) -> None:
        self._path = path
        self._remote = remote
        self._sha256 = sha256
        self.arrived = 0
        # Unbuffered, so that `arrived` is what is in the file when the disk fills up or somebody presses Ctrl-C.
        self._file = path.open("a+b", buffering=0)
        self._begin_sum()
        self._file.seek(0)
        while piece := self._file.read(1024**2):
            self._sum.add(piece)
            self.arrived += len(piece)
        if remote.bytes is not None and self.arrived > remote.bytes:
            self.restart()

    def add(self, piece: bytes) -> None:
        """Write at the end."""
        rest = memoryview(piece)
        while rest:
            try:
                written = self._file.write(rest) or 0
            except OSError as failure:
                raise disk_error(failure, self._path.parent, self.arrived) from failure
            self._sum.add(rest[:written])
            self.arrived += written
            rest = rest[written:]

    def restart(self) -> int:
        """Empty it. Returns how many bytes were thrown away."""
        thrown, self.arrived = self.arrived, 0
        self._file.truncate(0)
        self._begin_sum()
        return thrown

    def is_sound(self) -> bool:
        """Whether length and hash are the published ones, as far as any were published."""
        return self.arrived == (self.arrived if self._remote.bytes is None else self._remote.bytes) and self._sum.fits()

    def difference(self) -> str:
        """What is wrong, for people."""
        if self._remote.bytes is not None and self.arrived != self._remote.bytes:
            return f"{self.arrived} bytes and not {self._remote.bytes}"
        return self._sum.difference()

    def settle(self) -> None:
        """Have the disk itself hold it before it gets its final name, so that a power cut cannot leave half a blob."""
        try:
            os.fsync(self._file.fileno())
        except OSError as failure:
            raise disk_error(failure, self._path.parent, self.arrived) from failure

    def discard(self) -> None:
        """Delete it."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> _Partial:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def _begin_sum(self) -> None:
        self._sum = Checksum(self._remote.etag, self._remote.bytes, self._sha256)
