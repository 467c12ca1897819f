"""Weights in the formats of other runtimes, made of a GGUF file once and kept in edgelfm's cache.

    peers/SmolLM2-135M-1a2b3c4d5e6f-hf       bf16, for transformers and mlx
    peers/SmolLM2-135M-1a2b3c4d5e6f-genai    int4, made of the former by onnxruntime-genai's builder

A folder appears whole or not at all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from ...errors import BackendError, NoDiskSpace
from ...models.gguf import read_header
from ...paths import cache_folder
from ...units import format_bytes
from . import conversion

_BUILD_SECONDS = 1800.0
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


class Folders:
    """Makes them as they are asked for."""

    def __init__(self, weights: Path, sha256: str, told: Callable[[str], None]) -> None:
        self._weights, self._told = weights, told
        self._stem = cache_folder() / "peers" / f"{weights.stem}-{sha256[:12]}"

    def get(self, kind: str) -> Path:
        """The folder of `kind`, "hf" or "genai". Raises `BackendError`, `NoDiskSpace`."""
        folder = self._stem.with_name(f"{self._stem.name}-{kind}")
        if folder.is_dir():
            return folder
        makers = {"hf": self._widen, "genai": self._build}
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f"{folder.name}-", dir=folder.parent) as part:
                made = Path(part) / "made"
                made.mkdir()
                makers[kind](made)
                os.replace(made, folder)
        except NoDiskSpace:
            raise
        except OSError as error:
            if folder.is_dir():  # somebody else was faster
                return folder
            raise BackendError(
                f"{folder.parent} takes no files: {error.strerror or error}",
                hint="name another folder in EDGELFM_CACHE",
            ) from error
        return folder

    def _widen(self, folder: Path) -> None:
        if reason := conversion.why_not(read_header(self._weights)):
            raise BackendError(reason)
        self._require_room(conversion.folder_bytes(self._weights), folder)
        name = self._weights.name
        conversion.write_folder(self._weights, folder, lambda part: self._told(f"Widening {name} to bf16: {part:.0%}"))

    def _build(self, folder: Path) -> None:
        source = self.get("hf")
        self._require_room(conversion.folder_bytes(self._weights), folder)
        self._told(f"Building an int4 graph of {self._weights.name} for onnxruntime-genai")
        scratch = folder.parent / "scratch"
        command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-m", self._weights.stem]
        command += ["-i", str(source), "-o", str(folder), "-p", "int4", "-e", "cpu", "-c", str(scratch)]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_BUILD_SECONDS,
                cwd=folder.parent,
                env={**os.environ, "HF_HUB_OFFLINE": "1"},
            )
        except subprocess.TimeoutExpired:
            raise BackendError(f"its builder was not done after {_BUILD_SECONDS / 60:.0f} minutes") from None
        if done.returncode or not (folder / "genai_config.json").exists():
            last = next(
                (line.strip() for line in reversed(done.stderr.splitlines()) if line.strip()), "no reason given"
            )
            raise BackendError(f"its builder could not convert the model: {last[:300]}")
        for name in _TOKENIZER:
            shutil.copyfile(source / name, folder / name)

    def _require_room(self, needed: int, folder: Path) -> None:
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise NoDiskSpace(
                f"{folder.parent.parent} has {format_bytes(free)} free, {format_bytes(needed)} are needed",
                hint="name another folder in EDGELFM_CACHE",
            )
