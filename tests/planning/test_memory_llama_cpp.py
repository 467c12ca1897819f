"""The formulas say what llama.cpp says, to the digit it prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgelfm.models.architecture import Architecture
from edgelfm.planning.loading import Loading
from edgelfm.planning.memory_llama_cpp import compute_bytes, conv_bytes, kv_bytes, parts
from edgelfm.planning.plan import KvType
from edgelfm.units import GIB, MIB
from tests.tiny import write_tiny_lfm2

Printed = dict[str, str]
OpenAndRead = Callable[..., Printed]


def shape(
    hidden: int,
    feed_forward: int,
    heads: int,
    kv_heads: int,
    *,
    layers: str = "ccacca",
    vocabulary: int = 512,
    **mixture: int,
) -> Architecture:
    """The `Architecture` of what `write_tiny_lfm2` writes."""
    return Architecture(
        name="lfm2moe" if mixture else "lfm2", layers=len(layers),
        kv_heads=tuple(kv_heads if kind == "a" else 0 for kind in layers), hidden=hidden, heads=heads,
        head_dim=hidden // heads, feed_forward=feed_forward, vocabulary=vocabulary, conv_cache=3, **mixture,
    )  # fmt: skip


def predicted(architecture: Architecture, loading: Loading) -> Printed:
    sizes = {
        "KV": kv_bytes(architecture, loading),
        "RS": conv_bytes(architecture),
        "compute": compute_bytes(architecture, loading),
        "output": architecture.vocabulary * 4,
    }
    return {name: f"{size / MIB:.2f}" for name, size in sizes.items()}


REAL_LAYERS = "ccaccaccacacacac"
LFM2_350M = shape(1024, 4608, 16, 8, layers=REAL_LAYERS, vocabulary=65536)
LFM2_1_2B = shape(2048, 8192, 32, 8, layers=REAL_LAYERS, vocabulary=65536)
LLAMA_135M = Architecture(
    name="llama", layers=30, kv_heads=(3,) * 30, hidden=576, heads=9, head_dim=64, feed_forward=1536, vocabulary=49152,
    qk_norm=False,
)  # fmt: skip

# Context, micro-batch, KV type, flash attention; then MiB of KV, convolution state, compute and output buffers, copied
# from the log of the llama.cpp in llama-cpp-python 0.3.36 on the files of scripts/make_shapes.py and, for Llama, on
# SmolLM2-135M. The real sizes are too large to load in a test.
LOGGED = [
    (LFM2_350M, 4096, 32, "f16", True, "48.00 0.08 2.32 0.25"),
    (LFM2_350M, 4096, 64, "f16", True, "48.00 0.08 4.63 0.25"),
    (LFM2_350M, 4096, 128, "f16", True, "48.00 0.08 9.26 0.25"),
    (LFM2_350M, 4096, 256, "f16", True, "48.00 0.08 18.51 0.25"),
    (LFM2_350M, 4096, 512, "f16", True, "48.00 0.08 37.02 0.25"),
    (LFM2_350M, 4096, 128, "q8_0", True, "25.50 0.08 9.29 0.25"),
    (LFM2_350M, 4096, 512, "q4_0", True, "13.50 0.08 37.05 0.25"),
    (LFM2_350M, 4096, 128, "f16", False, "48.00 0.08 37.00 0.25"),
    (LFM2_350M, 32768, 32, "f16", True, "384.00 0.08 4.07 0.25"),
    (LFM2_350M, 32768, 128, "f16", True, "384.00 0.08 16.26 0.25"),
    (LFM2_350M, 32768, 512, "f16", True, "384.00 0.08 65.02 0.25"),
    (LFM2_350M, 32768, 128, "q8_0", True, "204.00 0.08 16.29 0.25"),
    (LFM2_350M, 32768, 512, "q4_0", True, "108.00 0.08 65.05 0.25"),
    (LFM2_1_2B, 4096, 32, "f16", True, "48.00 0.16 4.02 0.25"),
    (LFM2_1_2B, 4096, 64, "f16", True, "48.00 0.16 8.02 0.25"),
    (LFM2_1_2B, 4096, 128, "f16", True, "48.00 0.16 16.02 0.25"),
    (LFM2_1_2B, 4096, 256, "f16", True, "48.00 0.16 32.02 0.25"),
    (LFM2_1_2B, 4096, 512, "f16", True, "48.00 0.16 64.03 0.25"),
    (LFM2_1_2B, 4096, 128, "q8_0", True, "25.50 0.16 16.05 0.25"),
    (LFM2_1_2B, 4096, 512, "q4_0", True, "13.50 0.16 64.06 0.25"),
    (LFM2_1_2B, 4096, 128, "f16", False, "48.00 0.16 71.50 0.25"),
    (LFM2_1_2B, 32768, 32, "f16", True, "384.00 0.16 5.77 0.25"),
    (LFM2_1_2B, 32768, 128, "f16", True, "384.00 0.16 23.02 0.25"),
    (LFM2_1_2B, 32768, 512, "f16", True, "384.00 0.16 92.03 0.25"),
    (LFM2_1_2B, 32768, 128, "q8_0", True, "204.00 0.16 23.05 0.25"),
    (LFM2_1_2B, 32768, 512, "q4_0", True, "108.00 0.16 92.06 0.25"),
    (LLAMA_135M, 512, 512, "f16", True, "11.25 0.00 14.01 0.19"),
    (LLAMA_135M, 4096, 32, "f16", True, "90.00 0.00 1.09 0.19"),
    (LLAMA_135M, 4096, 128, "f16", True, "90.00 0.00 4.38 0.19"),
    (LLAMA_135M, 4096, 512, "f16", True, "90.00 0.00 17.51 0.19"),
    (LLAMA_135M, 4096, 512, "f16", False, "90.00 0.00 86.38 0.19"),
    (LLAMA_135M, 512, 512, "f16", False, "11.25 0.00 16.38 0.19"),
]


@pytest.mark.parametrize(("architecture", "context", "micro_batch", "kv_type", "flash_attention", "logged"), LOGGED)
def test_real_shapes_as_llama_cpp_logged_them(
    architecture: Architecture, context: int, micro_batch: int, kv_type: KvType, flash_attention: bool, logged: str
) -> None:
    loading = Loading(0, context, micro_batch=micro_batch, batch=512, kv_type=kv_type, flash_attention=flash_attention)
    assert " ".join(predicted(architecture, loading).values()) == logged


TINY = {
    "narrow": {"hidden": 64, "feed_forward": 256, "heads": 2, "kv_heads": 1},
    "wide heads": {"hidden": 256, "feed_forward": 1024, "heads": 4, "kv_heads": 2},
    "heads of 128": {"hidden": 256, "feed_forward": 768, "heads": 2, "kv_heads": 2},
    "mixture": {
        "hidden": 128, "feed_forward": 384, "heads": 4, "kv_heads": 2,
        "experts": 8, "experts_used": 4, "expert_feed_forward": 128, "dense_layers": 1,
    },
}  # fmt: skip
SETTINGS = [
    (256, 32, "f16", True),
    (300, 32, "f16", True),  # padded to 512 cells
    (1000, 64, "q8_0", True),
    (4096, 128, "q4_0", True),
    (4096, 512, "f16", True),
    (8192, 512, "q8_0", True),
    (1024, 64, "f16", False),
    (4096, 256, "f16", False),
]


@pytest.mark.parametrize("name", TINY)
def test_llama_cpp_allocates_what_is_predicted(name: str, printed: OpenAndRead, tmp_path: Path) -> None:
    path = write_tiny_lfm2(tmp_path / "model.gguf", **TINY[name])
    for context, micro_batch, kv_type, flash_attention in SETTINGS:
        loading = Loading(0, context, micro_batch=micro_batch, kv_type=kv_type, flash_attention=flash_attention)
        logged = printed(
            path, context=context, micro_batch=micro_batch, kv_type=kv_type, flash_attention=flash_attention
        )
        assert predicted(shape(**TINY[name]), loading) == logged, (context, micro_batch, kv_type, flash_attention)


def bill(**settings: object) -> dict[str, int]:
    loading = Loading(**{"weight_bytes": 700 * MIB, "context": 4096, **settings})
    found: dict[str, int] = {}
    for part in parts(LFM2_1_2B, loading):
        found[f"{part.name} on {part.device}"] = found.get(f"{part.name} on {part.device}", 0) + part.bytes
    return found


def test_mapped_files_are_paid_for_only_where_weights_are_repacked() -> None:
    assert "mapped copy on host" not in bill(mmap=True)
    assert "mapped copy on host" not in bill(repacked_bytes=500 * MIB)
    assert bill(mmap=True, repacked_bytes=500 * MIB)["mapped copy on host"] == 500 * MIB


def test_a_discrete_gpu_takes_weights_and_cache_and_leaves_the_embedding() -> None:
    split = bill(gpu_layers=17)
    assert split["weights on gpu"] == 700 * MIB
    assert 0 < split["weights on host"] < 200 * MIB
    assert split["KV cache on gpu"] == 48 * MIB
    assert "KV cache on host" not in split


def test_half_the_layers_take_about_half() -> None:
    split = bill(gpu_layers=8)
    assert split["weights on gpu"] + split["weights on host"] == 700 * MIB
    assert split["weights on gpu"] == pytest.approx(700 * MIB * 8 / 17, abs=1)


def test_a_gpu_that_shares_main_memory_has_no_memory_of_its_own() -> None:
    assert all(name.endswith("host") for name in bill(gpu_layers=17, gpu_memory="host"))


def test_sliding_window_layers_keep_their_window_only() -> None:
    lfm3 = Architecture(
        name="lfm3", layers=3, kv_heads=(4, 4, 0), hidden=2048, heads=16, head_dim=128, feed_forward=7680,
        vocabulary=128000, conv_cache=7, sliding_window=256, sliding_layers=(1,),
    )  # fmt: skip
    per_cell = 4 * 128 * 2 * 2
    assert kv_bytes(lfm3, Loading(0, 32768, micro_batch=128)) == (32768 + 512) * per_cell
    assert kv_bytes(lfm3, Loading(0, 256, micro_batch=128)) == 2 * 256 * per_cell  # never more than the context


def test_an_unpublished_architecture_is_graded_unknown_and_bounded_high() -> None:
    found = {part.name: part for part in parts(None, Loading(2 * GIB, 4096, micro_batch=128))}
    assert found["KV cache"].grade == found["compute buffers"].grade == "unknown"
    assert found["KV cache"].bytes > kv_bytes(LFM2_1_2B, Loading(0, 4096)) * 5
    assert found["weights"].grade == "estimated"
