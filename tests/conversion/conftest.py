"""Folders to convert: the tiny LFM2 in 32 bits, a Llama where torch is installed, and adapters to merge."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgelfm.conversion.gguf_file import write_gguf
from edgelfm.conversion.source import read_source
from edgelfm.conversion.tokenizer import read_tokenizer
from tests.tiny import CHAT_TEMPLATE
from tests.tiny_folder import _write_safetensors, _write_tokenizer, write_tiny_lfm2_folder

Adapters = Callable[..., Path]


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


@pytest.fixture
def write_adapter(tmp_path: Path) -> Adapters:
    """`write_adapter({"model.layers.0.conv.in_proj": (64, 192)}, r=4)`: a LoRA of random values as PEFT saves it."""

    def write(modules: Mapping[str, tuple[int, int]], *, seed: int = 1, dora: bool = False, **config: Any) -> Path:
        folder = tmp_path / f"lora-{seed}"
        folder.mkdir()
        values, rank = np.random.default_rng(seed), config.setdefault("r", 4)
        weights: dict[str, np.ndarray] = {}
        for module, (inputs, outputs) in modules.items():
            stem = f"base_model.model.{module}"
            weights[f"{stem}.lora_A.weight"] = values.standard_normal((rank, inputs), np.float32)
            weights[f"{stem}.lora_B.weight"] = values.standard_normal((outputs, rank), np.float32) * np.float32(0.1)
            if dora:
                weights[f"{stem}.lora_magnitude_vector"] = values.random(outputs, np.float32) + 1
        _write_safetensors(folder / "adapter_model.safetensors", weights)
        config = {"peft_type": "LORA", "lora_alpha": 8, "use_dora": dora, **config}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        return folder

    return write


def write_gguf_of(folder: Path, path: Path, kind: str = "F32", **options: Any) -> Path:
    """The weights of `folder` as GGUF at `path`, neither quantized nor checked."""
    source = read_source(folder)
    tokenizer = read_tokenizer(source.folder, source.config, source.net.name, source.net.vocabulary)
    write_gguf(path, source, tokenizer, kind, **options)
    return path
