"""Folders to convert: the tiny LFM2 in 32 bits, and a Llama where torch is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgelfm.conversion.gguf_file import write_gguf
from edgelfm.conversion.source import read_source
from edgelfm.conversion.tokenizer import read_tokenizer
from tests.tiny import CHAT_TEMPLATE
from tests.tiny_folder import _write_tokenizer, write_tiny_lfm2_folder


@pytest.fixture(scope="session")
def tiny_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of `tiny_path`, as a folder in 32 bits. Not to be changed."""
    return write_tiny_lfm2_folder(tmp_path_factory.mktemp("sources") / "tiny-lfm2")


@pytest.fixture
def tiny_copy(tmp_path: Path) -> Path:
    """The same, for a test that changes it."""
    return write_tiny_lfm2_folder(tmp_path / "tiny-lfm2")


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama in bf16 as transformers saves it: untied, with biases, rotations scaled as in Llama 3."""
    torch = pytest.importorskip("torch", reason="to run: pip install 'edgelfm[transformers]'")
    transformers = pytest.importorskip("transformers", reason="to run: pip install 'edgelfm[transformers]'")
    rotation = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0}
    rotation |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    config = transformers.LlamaConfig(
        vocab_size=512, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=4096, tie_word_embeddings=False, attention_bias=True,
        rope_parameters=rotation, bos_token_id=1, eos_token_id=7, initializer_range=0.1,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias"):
                weight.normal_(std=0.1)
    folder = tmp_path_factory.mktemp("sources") / "tiny-llama"
    model.to(torch.bfloat16).save_pretrained(folder)
    _write_tokenizer(folder, 512, CHAT_TEMPLATE)
    return folder


def write_gguf_of(folder: Path, path: Path, kind: str = "F32", **options: Any) -> Path:
    """The weights of `folder` as GGUF at `path`, neither quantized nor checked."""
    source = read_source(folder)
    tokenizer = read_tokenizer(source.folder, source.config, source.net.name, source.net.vocabulary)
    write_gguf(path, source, tokenizer, kind, **options)
    return path
