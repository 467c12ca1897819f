"""What is known of a LoRA adapter from its folder: form, size, base. What is none is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest

from edgelfm.backends.adapter import Adapter
from edgelfm.errors import ModelFileError
from edgelfm.models.lora import read_lora
from tests.adapters import write_mlx, write_peft

LAYERS = {"model.layers.0.conv.in_proj": (64, 192), "model.layers.2.self_attn.q_proj": (64, 64)}
PARAMETERS = 4 * (64 + 192) + 4 * (64 + 64)


def write_gguf(path: Path, kind: str = "adapter") -> Path:
    writer = gguf.GGUFWriter(path, "lfm2")
    writer.add_type(kind)
    writer.add_string("adapter.type", "lora")
    for half, shape in (("a", (4, 64)), ("b", (64, 4))):
        writer.add_tensor(f"blk.2.attn_q.weight.lora_{half}", np.ones(shape, np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_of_peft(tmp_path: Path) -> None:
    found = read_lora(write_peft(tmp_path / "gardener", LAYERS, base_model_name_or_path="LiquidAI/LFM2.5-350M"))
    assert (found.form, found.name, found.base) == ("peft", "gardener", "LiquidAI/LFM2.5-350M")
    assert (found.parameters, found.bytes) == (PARAMETERS, 4 * PARAMETERS)


def test_of_mlx(tmp_path: Path) -> None:
    found = read_lora(write_mlx(tmp_path / "adapters", LAYERS, model="mlx-community/LFM2-350M-8bit"))
    assert (found.form, found.base, found.parameters) == ("mlx", "mlx-community/LFM2-350M-8bit", PARAMETERS)
    assert found.weights == tmp_path / "adapters" / "adapters.safetensors"


def test_of_an_mlx_that_did_not_say_what_it_trained(tmp_path: Path) -> None:
    folder = write_mlx(tmp_path / "adapters", LAYERS)
    config = json.loads((folder / "adapter_config.json").read_text())
    del config["fine_tune_type"]
    (folder / "adapter_config.json").write_text(json.dumps(config))
    assert read_lora(folder).form == "mlx"
    assert {delta.scale for delta in Adapter(folder).deltas.values()} == {2.0}


def test_of_llama_cpp(tmp_path: Path) -> None:
    found = read_lora(write_gguf(tmp_path / "gardener.gguf"))
    assert (found.form, found.name, found.parameters, found.bytes) == ("gguf", "gardener", 512, 1024)


def _text(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no configuration": (lambda folder: (folder / "adapter_config.json").unlink(), "holds no adapter_config.json"),
    "not JSON": (_text("adapter_config.json", "{"), "cannot be read"),
    "a list": (_text("adapter_config.json", "[]"), "no JSON object"),
    "no weights": (lambda folder: (folder / "adapter_model.safetensors").unlink(), "no adapter_model.safetensors"),
    "cut short": (_text("adapter_model.safetensors", "ab"), "weights that cannot be read"),
    "a header as long as a disk": (
        lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"\xff" * 64),
        "its header is longer than the file",
    ),
    "pickled": (
        lambda folder: (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin"),
        "pickled weights",
    ),
}


@pytest.mark.parametrize(("spoil", "said"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_named(tmp_path: Path, spoil: Callable[[Path], object], said: str) -> None:
    folder = write_peft(tmp_path / "lora", LAYERS)
    spoil(folder)
    with pytest.raises(ModelFileError, match=said) as caught:
        read_lora(folder)
    assert str(folder) in caught.value.message
    assert caught.value.hint


def test_a_model_is_no_adapter(tiny_path: Path, tmp_path: Path) -> None:
    for path in (tiny_path, write_gguf(tmp_path / "other.gguf", "model")):
        with pytest.raises(ModelFileError, match="is a model and no adapter"):
            read_lora(path)


def test_a_tensor_that_says_nothing_of_itself_is_named(tmp_path: Path) -> None:
    folder = write_peft(tmp_path / "lora", LAYERS)
    text = json.dumps({"a": {"dtype": "F32"}}).encode()
    (folder / "adapter_model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    with pytest.raises(ModelFileError, match=r"cannot be read: .* 'data_offsets'"):
        read_lora(folder)
