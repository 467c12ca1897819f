"""A tiny LFM2 that llama.cpp can load, written once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny import write_tiny_lfm2


@pytest.fixture(scope="session")
def tiny_lfm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GGUF of six layers, 512 tokens, F16."""
    return write_tiny_lfm2(tmp_path_factory.mktemp("tiny") / "tiny-lfm2-F16.gguf")
