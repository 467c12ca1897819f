"""A still smaller llama than the tiny LFM2, and sessions on both."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgelfm.backends.mlx.loading import load
from edgelfm.backends.mlx.session import MlxSession
from tests.backends.conftest import settings

Open = Callable[..., MlxSession]


@pytest.fixture(scope="session", autouse=True)
def mlx_is_installed() -> None:
    """It has no wheels for some systems that edgelfm runs on."""
    pytest.importorskip("mlx_lm", reason="needs: pip install 'edgelfm[mlx]'")


@pytest.fixture(scope="session")
def eight_bit_folder(tiny_folder: Path) -> Path:
    """The same in 8 bits, as `mlx_lm.convert` quantizes."""
    import mlx.nn
    from mlx_lm.utils import load_model

    folder = tiny_folder.with_name("tiny-lfm2-8bit")
    shutil.copytree(tiny_folder, folder)
    model, config = load_model(folder)
    mlx.nn.quantize(model, group_size=32, bits=8)
    model.save_weights(str(folder / "model.safetensors"))
    config["quantization"] = {"group_size": 32, "bits": 8, "mode": "affine"}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def attention_folder(tiny_folder: Path) -> Path:
    """A llama of two layers with the same tokenizer: attention only, so its state can be cut anywhere."""
    import mlx.core
    from mlx_lm.models.llama import Model, ModelArgs

    folder = tiny_folder.with_name("tiny-llama")
    shutil.copytree(tiny_folder, folder)
    config = {
        "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 96,
        "num_attention_heads": 2, "num_key_value_heads": 1, "rms_norm_eps": 1e-5, "vocab_size": 512,
    }  # fmt: skip
    mlx.core.random.seed(0)
    Model(ModelArgs.from_dict(config)).save_weights(str(folder / "model.safetensors"))
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def open_mlx() -> Iterator[Open]:
    """Opens sessions and closes them after the test."""
    opened: list[MlxSession] = []

    def open_(folder: Path, **given: object) -> MlxSession:
        opened.append(MlxSession(load(folder), settings(**given)))
        return opened[-1]

    yield open_
    for session in opened:
        session.close()
