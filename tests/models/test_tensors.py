"""Weights are known to the byte before a download: against published sizes, a real file, llama.cpp's quantizer."""

from __future__ import annotations

import ctypes
from pathlib import Path

import gguf
import pytest
from gguf.constants import GGML_QUANT_SIZES

from edgelfm.errors import RequestError, UnknownQuantization
from edgelfm.models.architecture import Architecture
from edgelfm.models.catalog import Catalog
from edgelfm.models.from_header import architecture_of
from edgelfm.models.ggml import BY_ID
from edgelfm.models.gguf import read_header
from edgelfm.models.tensors import decode_bytes, parameters, tensors, tensors_of, weight_bytes
from tests.tiny import write_tiny_lfm2

# Quantizations of llama.cpp by their number in `enum llama_ftype`.
FTYPES = {
    "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q3_K_S": 11, "Q3_K_M": 12, "Q3_K_L": 13,
    "Q4_K_S": 14, "Q4_K_M": 15, "Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18,
}  # fmt: skip
HEADER = range(1_300_000, 2_500_000)  # vocabulary and merges of an LFM2 file


def listing(found: object) -> dict[str, tuple[str, tuple[int, ...], int]]:
    return {tensor.name: (tensor.type, tensor.shape, tensor.bytes) for tensor in found}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("architecture", "count"),
    [
        ("lfm2-350m", 354_483_968),
        ("lfm2-700m", 742_489_344),
        ("lfm2-1.2b", 1_170_340_608),
        ("lfm2-2.6b", 2_569_272_320),
    ],
)
def test_parameters_are_those_on_the_model_cards(catalog: Catalog, architecture: str, count: int) -> None:
    assert parameters(catalog.architectures[architecture]) == count


@pytest.mark.parametrize(
    ("architecture", "quantization", "published"),
    [
        ("lfm2-1.2b", "Q4_K_M", 730_895_168),
        ("lfm2-1.2b", "Q4_0", 695_750_880),
        ("lfm2-350m", "Q4_0", 219_000_000),
        ("lfm2-350m", "Q4_K_M", 229_000_000),
        ("lfm2-350m", "Q5_K_M", 260_000_000),
        ("lfm2-350m", "Q6_K", 293_000_000),
        ("lfm2-350m", "Q8_0", 379_000_000),
        ("lfm2-350m", "F16", 711_000_000),
        ("lfm2-700m", "Q4_K_M", 469_000_000),
    ],
)
def test_published_files_are_the_weights_and_a_header(
    catalog: Catalog, architecture: str, quantization: str, published: int
) -> None:
    rest = published - weight_bytes(catalog.architectures[architecture], quantization)
    rounding = 0 if published % 1_000_000 else 500_000
    assert HEADER.start - rounding <= rest <= HEADER.stop + rounding


def test_starter_has_exactly_the_tensors_that_follow_from_its_architecture(
    catalog: Catalog, starter_path: Path
) -> None:
    starter = catalog.find("starter")
    assert starter is not None
    assert listing(tensors_of(starter, starter.artifacts[0])) == listing(read_header(starter_path).tensors)


@pytest.mark.parametrize("quantization", FTYPES)
def test_every_tensor_is_what_llama_cpp_writes(plain_files: list[Path], quantization: str, tmp_path: Path) -> None:
    import llama_cpp

    for plain in plain_files:
        made = tmp_path / plain.name
        params = llama_cpp.llama_model_quantize_default_params()
        params.ftype, params.nthread = FTYPES[quantization], 1
        assert llama_cpp.llama_model_quantize(str(plain).encode(), str(made).encode(), ctypes.byref(params)) == 0
        header = read_header(made)
        architecture = architecture_of(header)
        assert listing(tensors(architecture, quantization)) == listing(header.tensors), plain.name
        assert weight_bytes(architecture, quantization) == header.weight_bytes


@pytest.fixture(scope="module")
def plain_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The layer pattern of the 1.2B; mixtures of few and of eight experts, which has rules of its own; rows that
    256-value blocks do not fit into."""
    folder = tmp_path_factory.mktemp("plain")

    def wide(name: str, layers: str, experts: int) -> Path:
        return write_tiny_lfm2(
            folder / name, layers=layers, hidden=256, feed_forward=256, heads=4, kv_heads=2,
            experts=experts, expert_feed_forward=256,
        )  # fmt: skip

    return [
        wide("dense.gguf", "ccaccaccacacacac", 0),
        wide("mixture.gguf", "ccaca", 4),
        wide("mixture-of-8.gguf", "ccaca", 8),
        write_tiny_lfm2(folder / "narrow.gguf", layers="ccacca", hidden=96, feed_forward=160, heads=3, kv_heads=1),
    ]


def test_a_tied_embedding_is_read_once_for_each_token(catalog: Catalog) -> None:
    network = catalog.architectures["lfm2-1.2b"]
    assert decode_bytes(network, "Q4_0") == weight_bytes(network, "Q4_0")


def test_of_a_separate_embedding_one_row_is_read() -> None:
    network = Architecture("llama", 2, (2, 2), 256, 4, 64, 512, 1000, tied_embeddings=False, qk_norm=False)
    by_name = {tensor.name: tensor.bytes for tensor in tensors(network, "Q8_0")}
    assert set(by_name) > {"output.weight", "output_norm.weight", "token_embd.weight"}
    row = by_name["token_embd.weight"] // 1000
    assert decode_bytes(network, "Q8_0") == weight_bytes(network, "Q8_0") - by_name["token_embd.weight"] + row


def test_of_a_mixture_the_experts_in_use_are_read(catalog: Catalog) -> None:
    network = catalog.architectures["lfm2.5-8b-a1b"]
    experts = sum(tensor.bytes for tensor in tensors(network, "Q4_0") if "_exps" in tensor.name)
    assert decode_bytes(network, "Q4_0") == weight_bytes(network, "Q4_0") - experts * 28 // 32


def test_block_sizes_are_those_of_ggml() -> None:
    reference = {int(kind): size for kind, size in GGML_QUANT_SIZES.items()}
    shared = [kind for kind in BY_ID.values() if kind.id in reference]
    assert len(shared) > 25
    assert [(kind.name, kind.block, kind.block_bytes) for kind in shared] == [
        (gguf.GGMLQuantizationType(kind.id).name, *reference[kind.id]) for kind in shared
    ]


def test_what_is_not_known_says_so(catalog: Catalog) -> None:
    with pytest.raises(UnknownQuantization, match="IQ2_XXS") as refused:
        tensors(catalog.architectures["lfm2-350m"], "IQ2_XXS")
    assert "Q4_K_M" in refused.value.hint
    with pytest.raises(RequestError, match="mamba"):
        tensors(Architecture("mamba", 1, (1,), 8, 1, 8, 8, 8), "Q4_0")
    unpublished = catalog.find("lfm2.5-vl-3b")
    assert unpublished is not None
    with pytest.raises(RequestError, match="not published"):
        tensors_of(unpublished, unpublished.artifacts[0])
