"""What cannot be converted is said at once, with what to do instead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgelfm.conversion.source import read_source
from edgelfm.errors import ModelFileError


def _configure(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_sound_folder_is_read(tiny_source: Path) -> None:
    source = read_source(tiny_source)
    assert (source.name, source.class_name, source.net.name, source.dtype) == (
        "tiny-lfm2",
        "Lfm2ForCausalLM",
        "lfm2",
        "F32",
    )


def test_what_weights_are_stored_in_is_looked_up(tiny_copy: Path) -> None:
    _configure(tiny_copy, dtype="bfloat16")
    assert read_source(tiny_copy).dtype == "F32"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"architectures": ["GemmaForCausalLM"]}, "GemmaForCausalLM"),
        ({"architectures": ["Lfm2VlForConditionalGeneration"]}, "Lfm2Vl"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "quantized already"),
        ({"conv_bias": True}, "conv_bias"),
        ({"hidden_size": "wide"}, "hidden_size"),
    ],
)
def test_other_models_are_refused(tiny_copy: Path, values: dict[str, Any], said: str) -> None:
    _configure(tiny_copy, **values)
    with pytest.raises(ModelFileError, match=said) as caught:
        read_source(tiny_copy)
    assert caught.value.hint


def test_pickled_weights_are_refused(tiny_copy: Path) -> None:
    (tiny_copy / "model.safetensors").rename(tiny_copy / "pytorch_model.bin")
    with pytest.raises(ModelFileError, match="pickled"):
        read_source(tiny_copy)


def test_truncated_weights_are_refused(tiny_copy: Path) -> None:
    path = tiny_copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelFileError, match="truncated"):
        read_source(tiny_copy)


def test_an_adapter_in_the_place_of_a_model_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelFileError, match="adapter") as caught:
        read_source(tmp_path)
    assert f"--adapter {tmp_path}" in caught.value.hint
