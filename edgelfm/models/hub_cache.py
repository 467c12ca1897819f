"""How the Hub cache lies on the disk: the layout that huggingface-hub documents, so that every tool shares the files.

    models--owner--name/blobs/<etag>              the bytes, named by their hash
    models--owner--name/snapshots/<commit>/...    links to them, under their own names
    models--owner--name/refs/main                 the commit that a branch pointed to
    .locks/models--owner--name/<etag>.lock        held while a blob is written

It asks nobody and checks no bytes. huggingface.co/docs/huggingface_hub/guides/manage-cache describes the layout.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class RepoFolder:
    """One repository's part of the cache."""

    cache: Path
    repo: str

    @property
    def root(self) -> Path:
        """`models--owner--name`."""
        return self.cache / self._name

    def blob(self, etag: str) -> Path:
        """Where the finished bytes lie."""
        return self.root / "blobs" / etag

    def partial(self, etag: str) -> Path:
        """Where bytes gather that are not all there yet. Always the beginning of the blob."""
        # Not `<etag>.incomplete`, which huggingface-hub 1 fills: through xet it may write that out of order.
        return self.root / "blobs" / f"{etag}.edgelfm.incomplete"

    def lock(self, etag: str) -> Path:
        """The lock that huggingface-hub takes too while it writes this blob."""
        return self.cache / ".locks" / self._name / f"{etag}.lock"

    def snapshot(self, commit: str) -> Path:
        """The folder that shows the repository as it was at a commit."""
        return self.root / "snapshots" / commit

    def commit_of(self, revision: str) -> str | None:
        """The commit that a revision stood for when it was last asked for; None if it never was."""
        if _COMMIT.fullmatch(revision):
            return revision
        try:
            commit = (self.root / "refs" / revision).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return None
        return commit if _COMMIT.fullmatch(commit) else None

    def remember(self, revision: str, commit: str) -> None:
        """Note that `revision` stands for `commit` now."""
        if revision == commit or self.commit_of(revision) == commit:
            return
        ref = self.root / "refs" / revision
        ref.parent.mkdir(parents=True, exist_ok=True)
        fresh = ref.with_name(f"{ref.name}.{os.getpid()}.new")
        fresh.write_text(commit, encoding="utf-8")
        fresh.replace(ref)

    def show(self, commit: str, name: str, etag: str) -> Path:
        """Make a finished blob visible in a snapshot, under its own name. Where links are not allowed it is moved."""
        pointer = self.snapshot(commit) / name
        if pointer.exists():
            return pointer
        pointer.parent.mkdir(parents=True, exist_ok=True)
        blob = self.blob(etag)
        if pointer.is_symlink():  # its blob was deleted and has come back under another name
            pointer.unlink()
        try:
            pointer.symlink_to(os.path.relpath(blob, pointer.parent))
        except FileExistsError:
            pass  # another process was quicker
        except OSError:
            blob.replace(pointer)  # Windows without developer mode, exFAT
        return pointer

    @property
    def _name(self) -> str:
        return "--".join(["models", *self.repo.split("/")])


def repo_of(folder: Path) -> str | None:
    """The repository that `folder` is a snapshot of, None for a folder that is not in such a cache."""
    kind, _, name = folder.parent.parent.name.partition("--")
    return name.replace("--", "/", 1) if folder.parent.name == "snapshots" and kind == "models" else None
