"""Networks as small as the tiny LFM2 and built otherwise, and sessions on all of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgelfm.backends.transformers.loading import load
from edgelfm.backends.transformers.session import TransformersSession
from tests.backends.conftest import settings

Open = Callable[..., TransformersSession]


@pytest.fixture(scope="session", autouse=True)
def transformers_is_installed() -> None:
    """It brings torch, which is large, so not everybody who develops edgelfm has it."""
    pytest.importorskip("torch", reason="needs: pip install 'edgelfm[transformers]'")
    pytest.importorskip("transformers", reason="needs: pip install 'edgelfm[transformers]'")


@pytest.fixture(scope="session")
def llama_folder(tiny_folder: Path) -> Path:
    """A llama of two layers with the same tokenizer: attention only, so its state can be cut anywhere."""
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2,
        "intermediate_size": 96, "num_attention_heads": 2, "num_key_value_heads": 1, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "vocab_size": 512, "max_position_embeddings": 4096, "bos_token_id": 1,
        "eos_token_id": 7, "pad_token_id": 0, "tie_word_embeddings": False, "dtype": "float32",
    }  # fmt: skip
    return random_folder(tiny_folder, tiny_folder.with_name("tiny-llama-hf"), config)


@pytest.fixture(scope="session")
def moe_folder(tiny_folder: Path) -> Path:
    """A mixture of experts with convolutions, as LFM2-8B-A1B is built."""
    config = json.loads((tiny_folder / "config.json").read_text()) | {
        "architectures": ["Lfm2MoeForCausalLM"], "model_type": "lfm2_moe", "intermediate_size": 96,
        "moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2, "num_dense_layers": 2,
        "use_expert_bias": True, "norm_topk_prob": True, "tie_word_embeddings": True,
    }  # fmt: skip
    layers = range(config["num_hidden_layers"])
    config["layer_types"] = ["full_attention" if i in config["full_attn_idxs"] else "conv" for i in layers]
    return random_folder(tiny_folder, tiny_folder.with_name("tiny-moe-hf"), config)


@pytest.fixture(scope="session")
def lfm3_folder(tiny_folder: Path) -> Path:
    """Built as LFM3-1.7B is: convolutions over 7 tokens, a layer that sees the last 16, one that sees all of them."""
    config = {
        "architectures": ["Lfm3ForCausalLM"], "model_type": "lfm3", "vocab_size": 512, "hidden_size": 64,
        "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 2, "num_key_value_heads": 1,
        "layer_types": ["conv", "sliding_attention", "full_attention", "conv"], "sliding_window": 16, "head_dim": 32,
        "max_position_embeddings": 4096, "bos_token_id": 1, "eos_token_id": 7, "pad_token_id": 0, "dtype": "float32",
    }  # fmt: skip
    return random_folder(tiny_folder, tiny_folder.with_name("tiny-lfm3-hf"), config)


@pytest.fixture(scope="session")
def sliding_folder(tiny_folder: Path, llama_folder: Path) -> Path:
    """A mistral, whose layers see the last 16 tokens and forget the others."""
    config = json.loads((llama_folder / "config.json").read_text())
    config |= {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "sliding_window": 16}
    return random_folder(tiny_folder, tiny_folder.with_name("tiny-mistral-hf"), config)


def random_folder(source: Path, folder: Path, config: dict[str, object]) -> Path:
    """A folder with the tokenizer of `source` and seeded random weights for `config`, as transformers writes them."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    shutil.copytree(source, folder)
    (folder / "config.json").write_text(json.dumps(config))
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    if bars:
        logging.enable_progress_bar()
    (folder / "generation_config.json").unlink(missing_ok=True)
    return folder


@pytest.fixture
def open_torch() -> Iterator[Open]:
    """Opens sessions and closes them after the test. `dtype` and `adapter` go to `load`, the rest to `settings`."""
    opened: list[TransformersSession] = []

    def open_(folder: Path, *, dtype: str | None = None, adapter: Path | None = None, **given: object) -> object:
        opened.append(TransformersSession(load(folder, dtype=dtype, adapter=adapter), settings(**given)))
        return opened[-1]

    yield open_
    for session in opened:
        session.close()
