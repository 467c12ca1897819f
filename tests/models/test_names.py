"""What people type, and the model they mean: names, links, files, folders, repositories, and near misses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelfm.errors import (
    EdgelfmError,
    ModelFileError,
    NotDownloaded,
    RequestError,
    UnknownModel,
    UnknownQuantization,
)
from edgelfm.models.catalog import Catalog
from edgelfm.models.names import resolve
from edgelfm.models.remote import complete
from tests.tiny import write_tiny_lfm2

Publish = Callable[..., None]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("lfm2.5-1.2b", "lfm2.5-1.2b-instruct"),
        ("lfm", "lfm2.5-1.2b-instruct"),
        ("LFM2.5 1.2B Instruct", "lfm2.5-1.2b-instruct"),
        ("lfm2.5_1.2b_instruct", "lfm2.5-1.2b-instruct"),
        ("LFM 2.5 1.2B", "lfm2.5-1.2b-instruct"),
        ("lfm2.5:1.2b", "lfm2.5-1.2b-instruct"),
        ("  lfm2.5-1.2b  ", "lfm2.5-1.2b-instruct"),
        ("LiquidAI/LFM2.5-1.2B-Instruct", "lfm2.5-1.2b-instruct"),
        ("liquidai/lfm2.5-1.2b-instruct", "lfm2.5-1.2b-instruct"),
        ("LiquidAI/LFM2.5-1.2B-Instruct-GGUF", "lfm2.5-1.2b-instruct"),
        ("LFM2.5-1.2B-Instruct-GGUF", "lfm2.5-1.2b-instruct"),
        ("LiquidAI/LFM2.5-1.2B-Instruct-GGUF:Q4_0", "lfm2.5-1.2b-instruct"),
        ("https://huggingface.co/LiquidAI/LFM2.5-350M", "lfm2.5-350m"),
        ("https://huggingface.co/LiquidAI/LFM2.5-350M-GGUF/tree/main", "lfm2.5-350m"),
        ("hf.co/LiquidAI/LFM2.5-350M-GGUF:Q8_0", "lfm2.5-350m"),
        ("LFM2.5-350M-Q4_K_M", "lfm2.5-350m"),
        ("lfm2.5-350m q8_0", "lfm2.5-350m"),
        ("lfm2.5-230m", "lfm2.5-230m"),
        ("LFM2.5-8B-A1B", "lfm2.5-8b-a1b"),
        ("lfm2 24b a2b", "lfm2-24b-a2b"),
        ("LiquidAI/LFM2.5-2.6B-MLX", "lfm2.5-2.6b"),
        ("mlx-community/LFM2-700M-8bit", "lfm2-700m"),
        ("LFM2.5-VL", "lfm2.5-vl-1.6b"),
        ("starter", "starter"),
        ("SmolLM2-135M-Instruct", "starter"),
        ("smollm2", "starter"),
        ("LFM2-1.2B", "lfm2-1.2b"),
        ("enjp-mt", "lfm2-350m-enjp-mt"),
    ],
)
def test_names_are_forgiving(typed: str, meant: str) -> None:
    assert resolve(typed, offline=True).id == meant


@pytest.mark.parametrize(
    ("typed", "error", "hint"),
    [
        ("lfm2.5-1.3b", UnknownModel, "lfm2.5-1.2b-instruct"),
        ("lfm2.5-1.2b-instrct", UnknownModel, "lfm2.5-1.2b-instruct"),
        ("lmf2.5-350m", UnknownModel, "lfm2.5-350m"),
        ("LFM2.5-VL-1.5B", UnknownModel, "lfm2.5-vl-1.6b"),
        ("startr", UnknownModel, "starter"),
        ("qwen3", UnknownModel, "edgelfm models"),
        ("???", UnknownModel, "edgelfm models"),
        ("", RequestError, "edgelfm models"),
        ("   ", RequestError, "edgelfm models"),
        ("./nowhere.gguf", UnknownModel, "check the path"),
        ("~/nowhere/model.gguf", UnknownModel, "check the path"),
        ("nowhere.gguf", UnknownModel, "check the path"),
        ("lfm2.5-350m:Q2_K", UnknownQuantization, "Q4_K_M"),
        ("LiquidAI/LFM2.5-1.2B-Instruct-GGUF:IQ3_XS", UnknownQuantization, "Q4_0"),
        ("LiquidAI/LFM2.5-1.3B", NotDownloaded, "edgelfm models"),
        ("somebody/something", NotDownloaded, ".gguf"),
    ],
)
def test_near_misses_are_told_what_would_be_right(typed: str, error: type[EdgelfmError], hint: str) -> None:
    with pytest.raises(error) as refused:
        resolve(typed, offline=True)
    assert hint in refused.value.hint


def test_a_repository_means_its_own_files() -> None:
    def offered(typed: str) -> set[tuple[str, str]]:
        return {(a.backend, a.quantization) for a in resolve(typed, offline=True).artifacts}

    assert {backend for backend, _ in offered("LFM2.5-350M")} == {"llama.cpp", "mlx", "onnx", "transformers"}
    assert {backend for backend, _ in offered("LiquidAI/LFM2.5-350M-GGUF")} == {"llama.cpp"}
    assert offered("LiquidAI/LFM2.5-350M-GGUF:Q4_0") == {("llama.cpp", "Q4_0")}
    assert offered("LFM2.5-350M-Q4_0") == {("llama.cpp", "Q4_0")}
    assert offered("LiquidAI/LFM2.5-350M-MLX-8bit") == {("mlx", "8bit")}


def test_deprecated_models_resolve_and_say_so() -> None:
    entry = resolve("LFM2-1.2B", offline=True)
    assert entry.status == "deprecated"
    assert "lfm2.5-1.2b-instruct" in entry.notes[0]


def test_a_published_file_on_this_disk_is_recognised(starter_path: Path) -> None:
    entry = resolve(starter_path)
    assert (entry.id, entry.license.id, entry.sampling.top_p) == ("starter", "apache-2.0", 0.9)
    (artifact,) = entry.artifacts
    assert (artifact.path, artifact.quantization) == (str(starter_path.resolve()), "Q4_1")
    assert sum(tensor.bytes for tensor in artifact.tensors) == 96_576_768


def test_a_file_of_ones_own_is_described_by_its_header(tiny_path: Path) -> None:
    entry = resolve(str(tiny_path))
    assert (entry.id, entry.name, entry.prompt_format, entry.tasks) == ("tiny-lfm2", "Tiny LFM2", "lfm2", ("chat",))
    assert entry.architecture is not None
    assert entry.architecture.attention_layers == (2, 5)
    assert entry.architecture.context_supported == 4096
    assert entry.license.id == "unknown"
    assert "cautious" in entry.sampling.source


def test_a_folder_offers_its_quantizations_and_finds_the_projector(tiny_path: Path, tmp_path: Path) -> None:
    for name in ("My-Model-F16.gguf", "My-Model-Q8_0.gguf", "mmproj-my-model-Q8_0.gguf", "mmproj-my-model-F16.gguf"):
        shutil.copy(tiny_path, tmp_path / name)
    entry = resolve(tmp_path)
    assert len(entry.artifacts) == 2
    assert entry.modalities == ("text", "image")
    projector = entry.artifacts[0].file("projector")
    assert projector is not None
    assert projector.name == "mmproj-my-model-Q8_0.gguf"
    shutil.copy(tiny_path, tmp_path / "Another-Q8_0.gguf")
    with pytest.raises(ModelFileError, match="holds several models: Another, My-Model"):
        resolve(tmp_path)


LFM2_CONFIG = {
    "model_type": "lfm2", "num_hidden_layers": 16, "hidden_size": 1024, "num_attention_heads": 16,
    "num_key_value_heads": 8, "block_ff_dim": 6656, "block_multiple_of": 256, "block_auto_adjust_ff_dim": True,
    "full_attn_idxs": [2, 5, 8, 10, 12, 14], "vocab_size": 65536, "conv_L_cache": 3, "tie_embedding": True,
    "max_position_embeddings": 128000, "dtype": "bfloat16",
}  # fmt: skip


@pytest.mark.parametrize(
    ("extra", "forms"),
    [
        ({}, [("transformers", "bf16"), ("mlx", "bf16")]),  # as published; mlx-lm reads it too
        ({"quantization": {"group_size": 64, "bits": 4}}, [("mlx", "4bit")]),
    ],
)
def test_a_folder_of_safetensors_is_described_by_its_config(
    tmp_path: Path, catalog: Catalog, extra: dict[str, object], forms: list[tuple[str, str]]
) -> None:
    folder = tmp_path / "LFM2-350M"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**LFM2_CONFIG, **extra}))
    (folder / "model.safetensors").write_bytes(bytes(10))
    entry = resolve(folder)
    assert entry.id == "lfm2-350m"
    assert entry.architecture == catalog.architectures["lfm2-350m"]
    assert [(artifact.backend, artifact.quantization) for artifact in entry.artifacts] == forms
    assert all(artifact.files[0].bytes == 10 for artifact in entry.artifacts)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is not an object"),
        (json.dumps({**LFM2_CONFIG, "num_hidden_layers": 10**9}), "num_hidden_layers is 1000000000"),
        (json.dumps({**LFM2_CONFIG, "hidden_size": "big"}), "hidden_size is 'big'"),
        (json.dumps({**LFM2_CONFIG, "full_attn_idxs": None}), "which layers attend"),
        (json.dumps({**LFM2_CONFIG, "layer_types": ["conv"]}), "does not name 16 layers"),
    ],
)
def test_a_broken_config_is_refused(tmp_path: Path, config: str, message: str) -> None:
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelFileError, match=message):
        resolve(tmp_path)


def test_what_is_no_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="holds no model"):
        resolve(tmp_path)
    (tmp_path / "weights.bin").write_bytes(b"")
    with pytest.raises(ModelFileError, match=r"runs \.gguf and \.onnx files"):
        resolve(tmp_path / "weights.bin")


def test_any_repository_is_sized_from_one_header(
    tmp_path: Path, folder_hub: object, publish: Publish, catalog: Catalog
) -> None:
    model = write_tiny_lfm2(tmp_path / "m.gguf").read_bytes()
    for name in ("Their-Tune-Q8_0.gguf", "Their-Tune-Q4_K_M.gguf", "mmproj-Their-Tune-F16.gguf", "README.md"):
        publish("somebody/Their-Tune-GGUF", name, model)
    entry = resolve("somebody/Their-Tune-GGUF", hub=folder_hub)  # type: ignore[arg-type]
    assert (entry.name, entry.repo, entry.modalities) == ("Tiny LFM2", "somebody/Their-Tune-GGUF", ("text", "image"))
    assert [a.quantization for a in entry.artifacts] == ["Q4_K_M", "Q8_0"]
    assert entry.artifacts[0].tensors
    assert not entry.artifacts[1].tensors
    assert entry.artifacts[1].file("weights") is not None
    narrowed = resolve("somebody/Their-Tune-GGUF:q8_0", hub=folder_hub)  # type: ignore[arg-type]
    assert [(a.quantization, bool(a.tensors)) for a in narrowed.artifacts] == [("Q8_0", True)]
    with pytest.raises(UnknownQuantization, match="holds no Q6_K"):
        resolve("somebody/Their-Tune-GGUF:Q6_K", hub=folder_hub)  # type: ignore[arg-type]


def test_a_card_without_its_projector_is_completed_from_the_list(folder_hub: object, publish: Publish) -> None:
    publish("LiquidAI/LFM2.5-VL-3B-GGUF", "LFM2.5-VL-3B-Q4_0.gguf", b"x" * 50)
    for quantization in ("F16", "Q8_0"):
        publish("LiquidAI/LFM2.5-VL-3B-GGUF", f"mmproj-LFM2.5-VL-3b-{quantization}.gguf", b"y" * 20)
    artifact = resolve("LFM2.5-VL-3B:Q4_0", offline=True).artifacts[0]
    files = [(file.name, file.role, file.bytes) for file in complete(folder_hub, artifact).files]  # type: ignore[arg-type]
    assert files == [
        ("LFM2.5-VL-3B-Q4_0.gguf", "weights", 50),
        ("mmproj-LFM2.5-VL-3b-Q8_0.gguf", "projector", 20),
    ]


def test_a_repository_of_safetensors_is_described_by_its_config(folder_hub: object, publish: Publish) -> None:
    publish("somebody/lfm2-tune", "config.json", json.dumps(LFM2_CONFIG).encode())
    publish("somebody/lfm2-tune", "model.safetensors", b"x" * 100)
    entry = resolve("somebody/lfm2-tune", hub=folder_hub)  # type: ignore[arg-type]
    assert (entry.parameters, entry.artifacts[0].backend) == (354_483_968, "transformers")
    publish("somebody/dataset", "data.csv", b"a,b")
    with pytest.raises(ModelFileError, match=r"neither \.gguf files nor a config"):
        resolve("somebody/dataset", hub=folder_hub)  # type: ignore[arg-type]


def test_a_repository_that_is_not_there_is_an_unknown_model(folder_hub: object) -> None:
    with pytest.raises(UnknownModel, match="in the catalogue or on the Hub") as refused:
        resolve("LiquidAI/LFM2.5-1.3B-Instruct", hub=folder_hub)  # type: ignore[arg-type]
    assert "lfm2.5-1.2b-instruct" in refused.value.hint


def test_offline_by_the_environment(monkeypatch: pytest.MonkeyPatch, folder_hub: object) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(NotDownloaded, match="somebody/model is not in the catalogue"):
        resolve("somebody/model", hub=folder_hub)  # type: ignore[arg-type]
