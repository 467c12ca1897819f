"""Tensors come out of safetensors as they went in, whatever they are stored as and however they are split."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgelfm.backends import weights as module
from edgelfm.backends.weights import Weights
from edgelfm.errors import ModelFileError
from tests.tiny_folder import _write_safetensors


def _bf16_file(path: Path, values: np.ndarray) -> None:
    """One tensor `w`, of values that bf16 holds exactly."""
    raw = (values.view(np.uint32) >> np.uint32(16)).astype("<u2").tobytes()
    header = {"w": {"dtype": "BF16", "shape": list(values.shape), "data_offsets": [0, len(raw)]}}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + raw)


def test_bf16_is_widened_exactly(tmp_path: Path) -> None:
    values = np.array([[1.0, -2.5, 3.0e38], [1.0e-38, 0.0, -0.15625]], np.float32)
    values = (values.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    _bf16_file(tmp_path / "model.safetensors", values)
    with Weights(tmp_path) as read:
        assert np.array_equal(read.rows("w"), values)
        assert np.array_equal(read.rows("w", 1, 2), values[1:])


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_several_files_are_one_model(tmp_path: Path, dtype: str) -> None:
    values = np.arange(24, dtype=dtype).reshape(4, 3, 2)
    _write_safetensors(tmp_path / "model-00001-of-00002.safetensors", {"a": values})
    _write_safetensors(tmp_path / "model-00002-of-00002.safetensors", {"b": values + 1})
    with Weights(tmp_path) as read:
        assert np.array_equal(read.rows("a"), values.reshape(4, 6))  # what lies inside a row is flattened
        assert np.array_equal(read.rows("b"), (values + 1).reshape(4, 6))


def test_pieces_are_bounded_and_keep_heads_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).standard_normal((12, 5), np.float32)
    _write_safetensors(tmp_path / "model.safetensors", {"w": values})
    monkeypatch.setattr(module, "PIECE", 45)
    with Weights(tmp_path) as read:
        pieces = list(read.pieces("w", unit=4))
        assert [len(piece) for piece in pieces] == [8, 4]
        assert np.array_equal(np.concatenate(pieces), values)


@pytest.mark.parametrize("lost", [1, 40, 10_000])
def test_a_truncated_file_is_found_out_when_it_is_opened(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "model.safetensors"
    _write_safetensors(path, {"w": np.zeros((64, 64), np.float32)})
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(ModelFileError, match="truncated"):
        Weights(tmp_path)


def test_other_types_are_refused_by_name(tmp_path: Path) -> None:
    text = json.dumps({"w": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + b"\0" * 4)
    with Weights(tmp_path) as read, pytest.raises(ModelFileError, match="F8_E4M3"):
        read.rows("w")
