"""What a hub says about repositories, and single ranges of their files, before anything is downloaded.

    list_files("LiquidAI/LFM2-350M-GGUF")          every file with its size and sha256
    read_range(repo, "model.gguf", 0, 4096)        a header, without the file
    describe(repo, "model.gguf")                   what a download has to fulfil

The paths and headers are those of the Hub's own interface (huggingface.co/docs/hub/api); any `HF_ENDPOINT` that speaks
it will do. Nothing is written here.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from ..errors import DownloadFailed, NotDownloaded, RemoteFileMissing, RequestError, StoreError
from .hub_errors import Failure, Target
from .hub_requests import Answer, Retry, answer_to, repeat
from .hub_settings import HubSettings, read_settings

_COMMIT = re.compile(r"[0-9a-f]{40}")
_ETAG = re.compile(r"[A-Za-z0-9._=-]{1,128}")  # it becomes a file name
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
MAX_PAGES = 100
MAX_REDIRECTS = 5


@dataclass(frozen=True, slots=True)
class HubFile:
    """One line of a repository's file list."""

    name: str  # path inside the repository
    bytes: int | None
    sha256: str | None  # only for large files; the Hub hashes small ones as git does


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of one commit, as the hub announces it."""

    repo: str
    name: str
    commit: str
    etag: str  # sha256 of a large file, git's sha1 of a small one
    bytes: int | None
    url: str  # asks the hub each time, as addresses of its storage expire

    @property
    def sha256(self) -> str | None:
        """The published hash of a large file."""
        return self.etag if re.fullmatch(r"[0-9a-f]{64}", self.etag) else None


def list_files(repo: str, revision: str = "main", *, settings: HubSettings | None = None) -> list[HubFile]:
    """Every file of a repository, in the hub's order.

    Raises `RemoteFileMissing` if there is no such repository or revision, `AccessDenied`, `DownloadFailed`,
    `NotDownloaded` when offline.
    """
    settings = settings or read_settings()
    target = Target(repo, revision=revision)
    _check(target, settings)
    url: str | None = (
        f"{settings.endpoint}/api/models/{repo}/tree/{quote(revision, safe='')}?recursive=true&expand=false"
    )
    files: list[HubFile] = []
    for _ in range(MAX_PAGES):
        if url is None:
            break
        page, url = _page(url, target, settings)
        files += [_listed(item) for item in page if item.get("type") == "file"]
    return files


def read_range(
    repo: str,
    filename: str,
    start: int,
    length: int,
    revision: str = "main",
    *,
    settings: HubSettings | None = None,
) -> bytes:
    """Up to `length` bytes of a file from `start`; fewer, or none, only where the file ends. Errors as `list_files`."""
    if start < 0 or length < 0:
        raise RequestError(f"there is no range of {length} bytes from {start}", hint="give numbers from 0 on")
    settings = settings or read_settings()
    target = Target(repo, filename, revision)
    _check(target, settings)
    if length == 0:
        return b""
    url = file_url(repo, filename, revision, settings)

    def ask() -> bytes:
        wanted = {"range": f"bytes={start}-{start + length - 1}"}
        try:
            with answer_to("GET", url, target, settings, headers=wanted) as answer:
                skip = start if answer.status_code == 200 else 0  # a server that knows no ranges sends everything
                return _take(answer, skip, length)
        except Failure as failure:
            if failure.status == 416:  # behind the end of the file
                return b""
            raise

    return _with_near_misses(ask, target, settings)


def describe(repo: str, filename: str, revision: str = "main", *, settings: HubSettings | None = None) -> RemoteFile:
    """Commit, hash and size of one file. A file that is not there is an error that names the nearest ones.

    Raises as `list_files`, and `DownloadFailed` if the endpoint does not answer like a Hub.
    """
    settings = settings or read_settings()
    target = Target(repo, filename, revision)
    _check(target, settings)
    return _with_near_misses(lambda: _head(target, settings), target, settings)


def file_url(repo: str, filename: str, revision: str, settings: HubSettings) -> str:
    """Where a file is downloaded from."""
    return f"{settings.endpoint}/{repo}/resolve/{quote(revision, safe='')}/{quote(filename)}"


def _head(target: Target, settings: HubSettings) -> RemoteFile:
    """Ask for a file's headers. Large files live elsewhere: the answer is a redirect that carries all we need."""
    url = file_url(target.repo, target.file, target.revision, settings)
    for _ in range(MAX_REDIRECTS):
        with answer_to("HEAD", url, target, settings, follow=False) as answer:
            headers = answer.headers
            redirected = 300 <= answer.status_code < 400
            commit = headers.get("x-repo-commit", "")
            etag = _plain_etag(headers.get("x-linked-etag") or headers.get("etag") or "")
            length = headers.get("x-linked-size") or ("" if redirected else headers.get("content-length", ""))
            if _COMMIT.fullmatch(commit) and _ETAG.fullmatch(etag) and (length.isdigit() or not redirected):
                source = file_url(target.repo, target.file, commit, settings)
                return RemoteFile(
                    target.repo, target.file, commit, etag, int(length) if length.isdigit() else None, source
                )
            onward = urljoin(url, headers.get("location", ""))
            if not redirected or urlsplit(onward).netloc != urlsplit(url).netloc:
                break
            url = onward  # a repository that was renamed, or the Hub's cache of small files
    raise Failure(
        DownloadFailed(
            f"{settings.endpoint} does not answer like a Hub: it names no commit and hash for {target}",
            hint="check HF_ENDPOINT, and whether a proxy or a login page of the network answers in its place",
        )
    )


def _with_near_misses(ask: Callable[[], Answer], target: Target, settings: HubSettings) -> Answer:
    try:
        return repeat(ask, Retry(settings.patience))
    except RemoteFileMissing as missing:
        try:
            names = [file.name for file in list_files(target.repo, target.revision, settings=settings)]
        except StoreError:
            raise missing from None  # there is no such repository or revision, and so no list
        raise RemoteFileMissing(missing.message, hint=_nearest(target.file, names) or missing.hint) from None


def _nearest(wanted: str, names: list[str]) -> str:
    folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(wanted.casefold(), folded, n=3, cutoff=0.5)
    if near:
        return f"the repository holds {', '.join(folded[name] for name in near)}"
    return f"the repository holds {', '.join(names[:5])}{' and more' if len(names) > 5 else ''}" if names else ""


def _page(url: str, target: Target, settings: HubSettings) -> tuple[list[dict[str, Any]], str | None]:
    """One page of a list, and the address of the next."""

    def ask() -> tuple[list[dict[str, Any]], str | None]:
        with answer_to("GET", url, target, settings) as answer:
            following = answer.links.get("next", {}).get("url")
            try:
                items = json.loads(answer.read())
            except ValueError:
                items = None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise Failure(
                DownloadFailed(
                    f"{settings.endpoint} does not answer like a Hub: the file list of {target.repo} is not a list",
                    hint="check HF_ENDPOINT, and whether a proxy or a login page of the network answers in its place",
                )
            )
        return items, urljoin(url, following) if following else None

    return repeat(ask, Retry(settings.patience))


def _listed(item: dict[str, Any]) -> HubFile:
    lfs = item.get("lfs") or {}
    return HubFile(str(item["path"]), lfs.get("size", item.get("size")), lfs.get("oid"))


def _take(answer: Any, skip: int, length: int) -> bytes:
    data = bytearray()
    for piece in answer.iter_bytes():
        data += piece[skip:]
        skip = max(0, skip - len(piece))
        if len(data) >= length:
            break
    return bytes(data[:length])


def _plain_etag(etag: str) -> str:
    return etag.strip().removeprefix("W/").strip('"')


def _check(target: Target, settings: HubSettings) -> None:
    if not _REPO.fullmatch(target.repo):
        raise RequestError(f"{target.repo!r} is not the name of a repository", hint="write it as owner/name")
    parts = target.file.split("/")
    if target.file and (".." in parts or "" in parts or "\\" in target.file or ":" in target.file):
        raise RequestError(f"{target.file!r} is not a path inside a repository", hint="write it as folder/name.gguf")
    if settings.offline:
        raise NotDownloaded(
            f"offline, the Hub cannot be asked about {target}", hint="unset HF_HUB_OFFLINE and leave out offline=True"
        )
