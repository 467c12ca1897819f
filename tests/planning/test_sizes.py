"""Exact where tensors are known, bounded from published figures elsewhere, and honest about which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edgelfm.models.entry import Artifact, File, ModelEntry
from edgelfm.models.tensors import weight_bytes
from edgelfm.planning.sizes import sizes, stand_in
from edgelfm.units import MIB

Find = Callable[[str], ModelEntry]


def artifact(entry: ModelEntry, backend: str, quantization: str) -> Artifact:
    return next(one for one in entry.artifacts if (one.backend, one.quantization) == (backend, quantization))


def test_gguf_weights_are_counted_tensor_by_tensor(model: Find, entries: tuple[ModelEntry, ...]) -> None:
    entry = model("lfm2.5-1.2b-instruct")
    found = sizes(entry, artifact(entry, "llama.cpp", "Q4_K_M"), entries)
    assert found is not None
    assert entry.architecture is not None
    assert found.weights == weight_bytes(entry.architecture, "Q4_K_M")
    assert found.download == 730_895_168, "as published: header and padding come on top of the weights"
    assert found.grade == "measured"


def test_other_runtimes_are_sized_by_bits_per_weight(model: Find, entries: tuple[ModelEntry, ...]) -> None:
    entry = model("lfm2.5-1.2b-instruct")
    found = sizes(entry, artifact(entry, "mlx", "4bit"), entries)
    assert found is not None
    assert found.grade == "estimated"
    assert 600 * MIB < found.weights < 700 * MIB
    assert "bits per weight" in found.note


def test_an_unpublished_architecture_is_bounded_by_the_next_larger_model(
    model: Find, entries: tuple[ModelEntry, ...]
) -> None:
    known = model("lfm2.5-350m")
    unknown = replace(known, id="new", architecture=None, parameters=300_000_000)
    assert stand_in(unknown, entries) == known.architecture
    found = sizes(unknown, artifact(unknown, "llama.cpp", "Q4_0"), entries)
    exact = sizes(known, artifact(known, "llama.cpp", "Q4_0"), entries)
    assert found is not None
    assert exact is not None
    assert found.grade == "estimated"
    assert 0.8 * exact.weights < found.weights < exact.weights
    assert "not published" in found.note


def test_the_published_file_size_is_taken_before_bits_per_weight(model: Find, entries: tuple[ModelEntry, ...]) -> None:
    unknown = replace(model("lfm2.5-350m"), architecture=None, parameters=300_000_000)
    file = Artifact("llama.cpp", "Q4_0", "someone/new-GGUF", (File("new-Q4_0.gguf", bytes=190_000_000),))
    found = sizes(unknown, file, entries)
    assert found is not None
    assert found.weights == found.download == 190_000_000


def test_nothing_published_means_no_size(model: Find, entries: tuple[ModelEntry, ...]) -> None:
    unknown = replace(model("lfm2.5-350m"), architecture=None, parameters=None)
    assert sizes(unknown, artifact(unknown, "llama.cpp", "Q4_0"), entries) is None


def test_companion_files_are_loaded_beside_the_weights(model: Find, entries: tuple[ModelEntry, ...]) -> None:
    entry = model("lfm2.5-vl-1.6b")
    found = sizes(entry, artifact(entry, "llama.cpp", "Q4_0"), entries)
    assert found is not None
    assert found.companions == 583_109_888, "mmproj in Q8_0"
    assert not found.companions_bounded
    assert found.download >= found.weights + found.companions


def test_a_projector_of_unknown_size_is_bounded_not_forgotten(model: Find, entries: tuple[ModelEntry, ...]) -> None:
    for id in ("lfm2.5-vl-450m", "lfm2.5-vl-3b"):
        entry = model(id)
        found = sizes(entry, artifact(entry, "llama.cpp", "Q4_0"), entries)
        assert found is not None
        assert found.companions_bounded
        assert found.companions > 583_109_888
