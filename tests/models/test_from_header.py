"""What model a header describes: sizes are checked, templates are read for what they say, names are not believed."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from edgelfm.errors import ModelFileError
from edgelfm.models.architecture import Architecture
from edgelfm.models.catalog import Catalog
from edgelfm.models.from_header import architecture_of, entry_of, prompt_format, thinks
from edgelfm.models.gguf import read_header
from tests.tiny import write_tiny_lfm2

LFM2 = Architecture("lfm2", 1, (1,), 8, 1, 8, 8, 8)
LLAMA = Architecture("llama", 1, (1,), 8, 1, 8, 8, 8)


def written(path: Path, architecture: str, metadata: dict[str, object], tensors: dict[str, tuple[int, ...]]) -> Path:
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in metadata.items():
        if isinstance(value, list):
            writer.add_array(key, value)
        elif isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        else:
            writer.add_string(key, str(value))
    for name, shape in tensors.items():
        writer.add_tensor(name, np.zeros(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


PLAIN: dict[str, object] = {
    "llama.block_count": 2, "llama.embedding_length": 64, "llama.attention.head_count": 4, "llama.context_length": 512,
    "llama.feed_forward_length": 96,
}  # fmt: skip
EMBEDDING = {"token_embd.weight": (100, 64)}


def test_a_mixture_of_experts(tmp_path: Path) -> None:
    path = write_tiny_lfm2(tmp_path / "moe.gguf", experts=8, experts_used=2, expert_feed_forward=96, dense_layers=2)
    found = architecture_of(read_header(path))
    assert (found.name, found.experts, found.experts_used, found.expert_feed_forward, found.dense_layers) == (
        "lfm2moe", 8, 2, 96, 2,
    )  # fmt: skip


def test_a_generic_model_with_its_own_head_size_and_output(tmp_path: Path) -> None:
    tensors = {**EMBEDDING, "output.weight": (100, 64), "blk.0.attn_q_norm.weight": (32,)}
    metadata = {**PLAIN, "llama.attention.key_length": 32, "llama.attention.head_count_kv": [2, 1]}
    found = architecture_of(read_header(written(tmp_path / "m.gguf", "llama", metadata, tensors)))
    assert (found.kv_heads, found.head_dim, found.vocabulary) == ((2, 1), 32, 100)
    assert (found.tied_embeddings, found.qk_norm, found.context_supported) == (False, True, 512)


@pytest.mark.parametrize(
    ("pattern", "layers"),
    [({"lfm3.attention.sliding_window_pattern": [False, True, False, True]}, (1, 3)),
     ({"lfm3.attention.sliding_window_pattern": 2}, (0, 2)), ({}, ())],
)  # fmt: skip
def test_sliding_windows(tmp_path: Path, pattern: dict[str, object], layers: tuple[int, ...]) -> None:
    metadata = {key.replace("llama", "lfm3"): value for key, value in PLAIN.items()}
    metadata |= {"lfm3.block_count": 4, "lfm3.attention.sliding_window": 256, **pattern}
    found = architecture_of(read_header(written(tmp_path / "m.gguf", "lfm3", metadata, EMBEDDING)))
    assert found.sliding_layers == layers
    assert found.sliding_window == (256 if layers else 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"llama.block_count": 0}, "llama.block_count is 0"),
        ({"llama.block_count": 2**31}, "llama.block_count is 2147483648"),
        ({"llama.block_count": "two"}, "llama.block_count is 'two'"),
        ({"llama.embedding_length": 2**30}, "llama.embedding_length is"),
        ({"llama.attention.head_count": 0}, "makes no"),
        ({"llama.attention.head_count_kv": [1, 2, 3]}, "does not give one number for each of 2 layers"),
        ({"llama.attention.head_count_kv": 0}, "makes no attention"),
        ({"general.type": "adapter"}, "of the kind 'adapter'"),
    ],
)
def test_sizes_that_make_no_model_are_refused(
    tmp_path: Path, catalog: Catalog, change: dict[str, object], message: str
) -> None:
    path = written(tmp_path / "m.gguf", "llama", {**PLAIN, **change}, EMBEDDING)
    with pytest.raises(ModelFileError, match=message):
        entry_of(read_header(path), str(path), catalog)


def test_a_projector_is_no_language_model(tmp_path: Path, catalog: Catalog) -> None:
    path = written(tmp_path / "mmproj.gguf", "clip", {}, EMBEDDING)
    with pytest.raises(ModelFileError, match="is a projector"):
        entry_of(read_header(path), str(path), catalog)


def test_a_name_is_not_believed_when_the_sizes_differ(tmp_path: Path, catalog: Catalog) -> None:
    path = write_tiny_lfm2(tmp_path / "LFM2.5-1.2B-Instruct-Q4_0.gguf")
    entry = entry_of(read_header(path), str(path), catalog)
    assert entry.architecture is not None
    assert entry.architecture.hidden == 64
    assert entry.parameters is not None
    assert entry.parameters < 1_000_000
    assert entry.aliases == ()


def test_licence_and_preset_in_the_file_are_used(tmp_path: Path, catalog: Catalog) -> None:
    metadata = {
        **PLAIN, "general.license": "other", "general.license.name": "lfm1.0", "general.sampling.temp": 0.5,
        "general.sampling.top_k": 20, "general.name": "0123456789abcdef0123456789abcdef",
    }  # fmt: skip
    path = written(tmp_path / "Tune-F16.gguf", "llama", metadata, EMBEDDING)
    entry = entry_of(read_header(path), str(path), catalog)
    assert entry.license.must_show
    assert (entry.sampling.temperature, entry.sampling.top_k) == (0.5, 20)
    assert entry.name == "Tune"


TOOLS = "<|im_start|> <|tool_list_start|>"


@pytest.mark.parametrize(
    ("network", "template", "name", "format"),
    [
        (LFM2, TOOLS, "any", "lfm2"),
        (LFM2, "<|im_start|>List of tools: ", "any", "lfm2.5"),
        (LFM2, "", "LFM2.5-1.2B-Base", "none"),
        (LFM2, "", "LFM2.5-350M", "lfm2.5"),
        (LFM2, "", "LFM2-350M", "lfm2"),
        (LLAMA, "<|im_start|>", "any", "chatml"),
        (LLAMA, "[INST]", "any", "own"),
        (LLAMA, "", "any", "none"),
    ],
)
def test_prompt_formats(network: Architecture, template: str, name: str, format: str) -> None:
    assert prompt_format(network, template, name) == format


def test_thinking_is_what_the_answer_opens_with() -> None:
    assert thinks("{% if add_generation_prompt %}<|im_start|>assistant\n<think>{% endif %}", "Model")
    assert not thinks("{{ content.split('</think>')[-1] }}{% if add_generation_prompt %}assistant{% endif %}", "Model")
    assert thinks("", "LFM2.5-1.2B-Thinking")
