"""A Hub on loopback: real HTTP, the Hub's paths, headers and redirects, and faults on request.

    with LocalHub() as hub:
        hub.put("acme/tiny-GGUF", "tiny-Q4_0.gguf", content)
        hub.fault("storage", cut_after=100_000)          # the next answer of the storage breaks off there
        ...
        assert [request.range for request in hub.requests("GET", "storage")] == [None, "bytes=100000-"]

As on the real Hub, large files are answered with a redirect to a storage on another address, small ones with a redirect
to a cache on the same address, and a repository that was renamed with a redirect to its new name.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

REPO = r"(?P<repo>[^/]+/[^/]+)"
TREE = re.compile(rf"/api/models/{REPO}/tree/(?P<revision>[^/]+)")
INFO = re.compile(rf"/api/models/{REPO}(/revision/(?P<revision>[^/]+))?")
RESOLVE = re.compile(rf"/{REPO}/resolve/(?P<revision>[^/]+)/(?P<name>.+)")
CACHED = re.compile(rf"/api/resolve-cache/models/{REPO}/(?P<revision>[^/]+)/(?P<name>.+)")
Where = Literal["api", "resolve", "storage"]


@dataclass
class Request:
    """One line of the log."""

    where: Where
    method: str
    path: str
    range: str | None
    authorization: str | None
    served: int = 0  # bytes of the body


@dataclass
class Fault:
    """What goes wrong with the next `times` requests there. Counts of bytes are of the answer's body."""

    where: Where
    times: int = 1
    method: str | None = None
    file: str = ""  # only paths that end so
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    hold_after: int | None = None  # silent until `LocalHub.go` is set
    flip_byte: int | None = None
    ignore_range: bool = False
    chunked: bool = False  # no Content-Length


@dataclass
class Repo:
    files: dict[str, tuple[bytes, bool]] = field(default_factory=dict)  # content, and whether it is a large file
    gated: bool = False
    private: bool = False

    @property
    def commit(self) -> str:
        parts = [f"{name} {hashlib.sha1(content).hexdigest()}" for name, (content, _) in sorted(self.files.items())]
        return hashlib.sha1("\n".join(parts).encode()).hexdigest()


class LocalHub:
    """Two servers: the hub at `endpoint`, and the storage of its large files."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.renamed: dict[str, str] = {}
        self.tokens = {"hf_good": True, "hf_stranger": False}  # whether the gated repositories' terms were accepted
        self.page_size = 1000
        self.log: list[Request] = []
        self.holding = threading.Event()  # a `hold_after` has been reached
        self.go = threading.Event()
        self._faults: list[Fault] = []
        self._mutex = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._hub = self._serve("hub")
        self._storage = self._serve("storage")
        self.endpoint = f"http://127.0.0.1:{self._hub.server_port}"
        self.storage = f"http://127.0.0.1:{self._storage.server_port}"

    def put(self, repo: str, name: str, content: bytes, *, large: bool = True) -> str:
        """Publish a file. Returns its sha256."""
        self.repos.setdefault(repo, Repo()).files[name] = (content, large)
        return hashlib.sha256(content).hexdigest()

    def fault(self, where: Where, **what: Any) -> Fault:
        """Let something go wrong."""
        fault = Fault(where, **what)
        self._faults.append(fault)
        return fault

    def clear_faults(self) -> None:
        """Let everything go right again."""
        self._faults.clear()

    def requests(self, method: str | None = None, where: Where | None = None) -> list[Request]:
        """What was asked so far."""
        with self._mutex:
            return [r for r in self.log if method in (None, r.method) and where in (None, r.where)]

    @property
    def served(self) -> int:
        """Bytes of file contents that went out."""
        return sum(request.served for request in self.requests("GET", "storage"))

    def close(self) -> None:
        """Stop both servers and cut what hangs."""
        self.go.set()
        for server in (self._hub, self._storage):
            server.shutdown()
        with self._mutex:
            for connection in self._sockets:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for server in (self._hub, self._storage):
            server.server_close()

    def __enter__(self) -> LocalHub:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def take_fault(self, request: Request) -> Fault | None:
        """The fault that this request runs into, used up once."""
        with self._mutex:
            self.log.append(request)
            for fault in self._faults:
                fits = fault.where == request.where and fault.method in (None, request.method)
                if fits and fault.times > 0 and request.path.endswith(fault.file):
                    fault.times -= 1
                    return fault
        return None

    def keep(self, connection: socket.socket) -> None:
        with self._mutex:
            self._sockets.add(connection)

    def drop(self, connection: socket.socket) -> None:
        with self._mutex:
            self._sockets.discard(connection)

    def _serve(self, part: str) -> ThreadingHTTPServer:
        handler = type(f"{part.title()}Handler", (_Handler,), {"hub": self, "part": part})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    hub: LocalHub
    part: str
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.hub.keep(self.connection)

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # clients that were interrupted hang up in the middle
            super().handle()

    def finish(self) -> None:
        self.hub.drop(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet; `LocalHub.log` has it."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        where: Where = "storage" if self.part == "storage" else "api" if _is_api(path) else "resolve"
        self.request_line = Request(
            where, self.command, path, self.headers.get("range"), self.headers.get("authorization")
        )
        self.trouble = self.hub.take_fault(self.request_line)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if self.trouble and self.trouble.status:
                self.answer(self.trouble.status, b"something is wrong", self.trouble.headers)
            elif where == "storage":
                self.storage(path)
            elif match := TREE.fullmatch(path):
                self.tree(match["repo"], match["revision"])
            elif match := INFO.fullmatch(path):
                self.info(match["repo"], match["revision"] or "main")
            elif match := RESOLVE.fullmatch(path):
                self.resolve(match["repo"], match["revision"], match["name"], cached=False)
            elif match := CACHED.fullmatch(path):
                self.resolve(match["repo"], match["revision"], match["name"], cached=True)
            else:
                self.answer(404, b"Not found")

    def info(self, name: str, revision: str) -> None:
        if repo := self.repo(name, revision, f"/api/models/{{repo}}/revision/{revision}"):
            siblings = [{"rfilename": file} for file in repo.files]
            self.json({"id": name, "modelId": name, "sha": repo.commit, "gated": repo.gated, "siblings": siblings})

    def tree(self, name: str, revision: str) -> None:
        if repo := self.repo(name, revision, f"/api/models/{{repo}}/tree/{revision}?recursive=true"):
            items: list[dict[str, Any]] = []
            for file, (content, large) in sorted(repo.files.items()):
                item: dict[str, Any] = {"type": "file", "oid": _git_hash(content), "size": len(content), "path": file}
                if large:
                    item["lfs"] = {"oid": _sha256(content), "size": len(content), "pointerSize": 134}
                items.append(item)
            folders = {file.rpartition("/")[0] for file in repo.files} - {""}
            items += [{"type": "directory", "oid": "0" * 40, "size": 0, "path": folder} for folder in sorted(folders)]
            start = int(parse_qs(urlsplit(self.path).query).get("cursor", ["0"])[0])
            end = start + self.hub.page_size
            more = f"<{self.hub.endpoint}/api/models/{name}/tree/{revision}?recursive=true&cursor={end}>"
            self.json(items[start:end], {"Link": f'{more}; rel="next"'} if end < len(items) else {})

    def resolve(self, name: str, revision: str, file: str, *, cached: bool) -> None:
        repo = self.repo(name, revision, f"/{{repo}}/resolve/{revision}/{file}")
        if repo is None:
            return
        if repo.gated and not cached and not self.hub.tokens.get(self.token or "", False):
            known = self.token is not None
            self.refuse(403 if known else 401, "GatedRepo", "Access to this model is restricted")
            return
        if file not in repo.files:
            self.refuse(404, "EntryNotFound", "Entry not found")
            return
        content, large = repo.files[file]
        headers = {"X-Repo-Commit": repo.commit, "Accept-Ranges": "bytes"}
        if large:
            headers["X-Linked-Size"] = str(len(content))
            headers["X-Linked-Etag"] = f'"{_sha256(content)}"'
            headers["Location"] = f"{self.hub.storage}/{_sha256(content)}?Signature=abc&file={file}"
            self.answer(302, b"Found. Redirecting", headers)
        elif not cached:
            headers["Location"] = f"/api/resolve-cache/models/{name}/{repo.commit}/{file}"
            self.answer(307, b"Temporary Redirect", headers)
        else:
            self.content(content, headers | {"ETag": f'"{_git_hash(content)}"'})

    def storage(self, path: str) -> None:
        for repo in self.hub.repos.values():
            for content, _ in repo.files.values():
                if path == f"/{_sha256(content)}":
                    self.content(content, {"ETag": '"the storage has its own"', "Accept-Ranges": "bytes"})
                    return
        self.answer(403, b"expired")

    def repo(self, name: str, revision: str, onward: str) -> Repo | None:
        """The repository, or None after a refusal or redirect was sent."""
        if self.token is not None and self.token not in self.hub.tokens:
            self.refuse(401, "", "Invalid credentials in Authorization header")
            return None
        if new := self.hub.renamed.get(name):
            self.answer(307, b"", {"Location": onward.format(repo=new)})
            return None
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and not self.token):
            self.refuse(404 if self.token else 401, "RepoNotFound", "Repository not found")
            return None
        if revision not in ("main", repo.commit):
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return None
        return repo

    @property
    def token(self) -> str | None:
        text = self.headers.get("authorization")
        return text.removeprefix("Bearer ") if text else None

    def refuse(self, status: int, code: str, message: str) -> None:
        headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self.answer(status, json.dumps({"error": message}).encode(), headers)

    def json(self, data: object, headers: dict[str, str] | None = None) -> None:
        self.answer(200, json.dumps(data).encode(), {"Content-Type": "application/json"} | (headers or {}))

    def content(self, content: bytes, headers: dict[str, str]) -> None:
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range") or "")
        if match is None or (self.trouble and self.trouble.ignore_range):
            self.answer(200, content, headers)
            return
        start, end = int(match[1]), min(int(match[2] or len(content)), len(content) - 1)
        if start >= len(content):
            self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            return
        self.answer(206, content[start : end + 1], headers | {"Content-Range": f"bytes {start}-{end}/{len(content)}"})

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        trouble = self.trouble or Fault(self.request_line.where)
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if trouble.chunked:
            self.close_connection = True
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if trouble.flip_byte is not None and trouble.flip_byte < len(body):
            body = bytearray(body)  # type: ignore[assignment]
            body[trouble.flip_byte] ^= 0xFF  # type: ignore[index]
        if trouble.cut_after is not None:
            self.write(body[: trouble.cut_after])
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif trouble.hold_after is not None:
            self.write(body[: trouble.hold_after])
            self.hub.holding.set()
            self.hub.go.wait(60)
            self.write(body[trouble.hold_after :])
        else:
            self.write(body)

    def write(self, body: bytes) -> None:
        for piece in _pieces(body):
            self.wfile.write(piece)
            self.request_line.served += len(piece)


def _pieces(body: bytes, size: int = 16 * 1024) -> Iterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def _is_api(path: str) -> bool:
    return path.startswith("/api/") and not path.startswith("/api/resolve-cache/")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
