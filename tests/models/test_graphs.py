"""Folders of ONNX graphs: what they are is read from names and JSON; the graphs themselves are not opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgelfm.errors import ModelFileError
from edgelfm.models.catalog import Catalog
from edgelfm.models.local import entry_at

LFM2_350M: dict[str, Any] = {
    "model_type": "lfm2", "hidden_size": 1024, "num_hidden_layers": 16, "num_attention_heads": 16,
    "num_key_value_heads": 8, "vocab_size": 65536, "max_position_embeddings": 128000, "conv_L_cache": 3,
    "intermediate_size": 4608, "block_auto_adjust_ff_dim": False, "full_attn_idxs": [2, 5, 8, 10, 12, 14],
}  # fmt: skip


def put(folder: Path, **files: int | dict[str, Any]) -> Path:
    """Files by name, `__` for a slash: of so many bytes, or with JSON in them."""
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(content) if isinstance(content, int) else json.dumps(content).encode())
    return folder


@pytest.fixture
def published(tmp_path: Path) -> Path:
    return put(
        tmp_path / "LFM2.5-350M-ONNX",
        **{
            "config.json": LFM2_350M, "tokenizer.json": {}, "onnx__model.onnx": 10, "onnx__model_q4.onnx": 20,
            "onnx__model_q4.onnx_data": 300, "onnx__model_q4.onnx_data_1": 4, "onnx__model_q8.onnx": 50,
        },
    )  # fmt: skip


def test_a_published_repository_has_a_graph_for_each_quantization(published: Path, catalog: Catalog) -> None:
    entry = entry_at(published, catalog)
    found = {one.quantization: sum(file.bytes or 0 for file in one.files) for one in entry.artifacts}
    assert found == {"fp32": 10, "q4": 324, "q8": 50}
    assert {one.backend for one in entry.artifacts} == {"onnx"}
    assert entry.architecture is not None
    assert (entry.architecture.hidden, entry.architecture.attention_layers) == (1024, (2, 5, 8, 10, 12, 14))


def test_one_graph_alone_can_be_named(published: Path, catalog: Catalog) -> None:
    (artifact,) = entry_at(published / "onnx" / "model_q4.onnx", catalog).artifacts
    assert (artifact.quantization, artifact.path) == ("q4", str(published / "onnx" / "model_q4.onnx"))


def test_a_graph_that_nothing_describes_is_refused(published: Path, catalog: Catalog) -> None:
    (published / "config.json").unlink()
    with pytest.raises(ModelFileError, match=r"config\.json is not there: it says what the graph expects"):
        entry_at(published, catalog)


def test_a_folder_of_onnxruntime_genai(tmp_path: Path, catalog: Catalog) -> None:
    """It does not say how wide the feed-forward layers are; the card of the same network does."""
    kinds = ["full_attention" if layer in LFM2_350M["full_attn_idxs"] else "conv" for layer in range(16)]
    decoder = {
        "hidden_size": 1024, "num_hidden_layers": 16, "num_attention_heads": 16, "num_key_value_heads": 8,
        "head_size": 64, "layer_types": kinds, "conv_cache_size": 2,
    }  # fmt: skip
    config = {"model": {"type": "lfm2", "vocab_size": 65536, "context_length": 128000, "decoder": decoder}}
    folder = put(tmp_path / "mine", **{"genai_config.json": config, "model.onnx": 100, "model.onnx.data": 177_000_000})
    entry = entry_at(folder, catalog)
    assert entry.architecture is not None
    assert (entry.architecture.feed_forward, entry.architecture.conv_cache) == (4608, 3)
    (artifact,) = entry.artifacts
    assert (artifact.backend, artifact.quantization) == ("onnx", "q4"), "4 bits a weight"
    assert sum(file.bytes or 0 for file in artifact.files) == 177_000_100


def test_a_published_repository_may_be_a_genai_folder_too(published: Path, catalog: Catalog) -> None:
    (published / "genai_config.json").write_text('{"model": {"decoder": {"filename": "onnx/model_q4.onnx"}}}')
    assert {one.quantization for one in entry_at(published, catalog).artifacts} == {"fp32", "q4", "q8"}


def test_the_names_of_transformers_js_are_understood(published: Path, catalog: Catalog) -> None:
    (published / "onnx" / "model_q8.onnx").rename(published / "onnx" / "model_quantized.onnx")
    assert {one.quantization for one in entry_at(published, catalog).artifacts} == {"fp32", "q4", "q8"}


@pytest.mark.parametrize("config", [b"", b"[]", b"{}", b'{"model": {"type": "lfm2"}}', b'{"model": 3}'])
def test_a_genai_folder_that_says_nothing(tmp_path: Path, catalog: Catalog, config: bytes) -> None:
    (tmp_path / "genai_config.json").write_bytes(config)
    (tmp_path / "model.onnx").write_bytes(b"1")
    with pytest.raises(ModelFileError, match=r"genai_config\.json"):
        entry_at(tmp_path, catalog)
