"""One table of memory models, one estimate for any backend."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from edgelfm.models.architecture import Architecture
from edgelfm.planning.memory import MODELS, estimate
from edgelfm.units import GIB, MIB

LFM2_1_2B = Architecture(
    name="lfm2", layers=16, kv_heads=tuple(8 if i in (2, 5, 8, 10, 12, 14) else 0 for i in range(16)), hidden=2048,
    heads=32, head_dim=64, feed_forward=8192, vocabulary=65536, conv_cache=3,
)  # fmt: skip
LFM2_350M = replace(LFM2_1_2B, hidden=1024, heads=16, feed_forward=4608)
Q4_0 = 693_365_760  # bytes of the tensors


def test_the_bill_of_the_model_people_come_for() -> None:
    memory = estimate("llama.cpp", LFM2_1_2B, weight_bytes=Q4_0, context=4096, micro_batch=128)
    assert [part.name for part in memory.parts] == [
        "weights", "KV cache", "convolution state", "compute buffers", "output", "scratch", "runtime",
    ]  # fmt: skip
    assert memory.part("weights") == Q4_0
    assert memory.part("KV cache") == 48 * MIB
    assert memory.part("convolution state") == 160 * 1024
    assert memory.part("output") == 256 * 1024
    assert memory.total == sum(part.bytes for part in memory.parts)
    assert all(part.note for part in memory.parts)


def test_what_each_setting_saves() -> None:
    def total(**changed: object) -> int:
        settings = {"weight_bytes": Q4_0, "context": 32768, "micro_batch": 512, **changed}
        return estimate("llama.cpp", LFM2_1_2B, **settings).total

    full = total()
    assert full - total(kv_type="q8_0") == pytest.approx(180 * MIB, rel=0.01)
    assert full - total(context=4096) == (336 + 28) * MIB  # KV, and the mask of each of 512 tokens
    assert full - total(micro_batch=64) > 75 * MIB
    assert total(flash_attention=False) - full > 1900 * MIB  # scores of 512 tokens against 32,768 cells, 32 heads
    assert total(mmap=True, repacked_bytes=500 * MIB) - full == 500 * MIB


@pytest.mark.parametrize("backend", MODELS)
def test_more_context_never_takes_less(backend: str) -> None:
    totals = [estimate(backend, LFM2_1_2B, weight_bytes=GIB, context=c).total for c in (256, 1024, 4096, 32768)]
    assert totals == sorted(totals)
    assert len(set(totals)) == len(totals)


@pytest.mark.parametrize("backend", MODELS)
def test_weights_are_never_forgotten(backend: str) -> None:
    memory = estimate(backend, LFM2_1_2B, weight_bytes=3 * GIB, context=1024)
    assert memory.part("weights") == 3 * GIB
    assert memory.total > 3 * GIB + 100 * MIB


def test_a_backend_nobody_measured_is_the_hungriest_and_says_so() -> None:
    foreign = estimate("somebody-elses", LFM2_1_2B, weight_bytes=GIB, context=4096)
    known = [estimate(backend, LFM2_1_2B, weight_bytes=GIB, context=4096).total for backend in MODELS]
    assert foreign.total >= max(known)
    assert {part.grade for part in foreign.parts} == {"unknown"}


def test_keys_and_values_of_other_backends_are_not_quantized() -> None:
    for backend in ("onnx", "transformers"):
        plain, asked = (
            estimate(backend, LFM2_1_2B, weight_bytes=GIB, context=4096, kv_type=kind).part("KV cache")
            for kind in ("f16", "q8_0")
        )
        assert plain == asked >= 48 * MIB


@pytest.mark.parametrize("fast", [True, False], ids=["GPU", "CPU"])
def test_mlx_pays_for_small_keys_and_values_with_scores(fast: bool) -> None:
    """As quantized_scaled_dot_product_attention of mlx-lm 0.32 was seen to: scores in 16 bits; on a CPU keys and values
    of a layer besides, once for each of the four heads that share them."""
    exact, small = (
        estimate("mlx", LFM2_1_2B, weight_bytes=GIB, context=4096, micro_batch=64, kv_type=kind, flash_attention=fast)
        for kind in ("f16", "q8_0")
    )
    assert (exact.part("KV cache"), small.part("KV cache")) == (48 * MIB, 27 * MIB)
    more = small.part("compute buffers") - exact.part("compute buffers")
    assert more == (64 * 32 * 4096 * 2 if fast else 4 * 27 * MIB // 6)


def test_a_sliding_window_keeps_no_more_keys_than_it_sees() -> None:
    """Two layers of LFM3: of 4,096 tokens one keeps all, the other 256."""
    both = replace(LFM2_1_2B, name="lfm3", kv_heads=(4, 4), layers=2, head_dim=128)
    sliding = replace(both, sliding_layers=(0,), sliding_window=256)
    for backend in ("onnx", "transformers", "mlx"):
        all_of_it, less = (
            estimate(backend, shape, weight_bytes=GIB, context=4096).part("KV cache") for shape in (both, sliding)
        )
        assert less == all_of_it * (4096 + 256) // (2 * 4096)


#: Peaks of `load(graph, backend="onnx", context=4096)` after a prompt of 600 tokens and a reply of 32, in MiB, and the
#: part of the KV cache that such a prompt leaves untouched. Graphs of the 350M shape as tests/onnx_export.py writes
#: them, onnxruntime 1.32, x86-64.
GRAPHS = [("q4", 242, 4, 567, 82), ("q8", 392, 4, 759, 82), ("quantized", 403, 4, 788, 82), ("fp16", 804, 2, 1770, 41)]


@pytest.mark.parametrize(
    ("weights", "number_bytes", "peak", "untouched"), [case[1:] for case in GRAPHS], ids=[case[0] for case in GRAPHS]
)
def test_graphs_of_every_width_take_what_was_measured(
    weights: int, number_bytes: int, peak: int, untouched: int
) -> None:
    memory = estimate(
        "onnx", LFM2_350M, weight_bytes=weights * MIB, context=4096, number_bytes=number_bytes, micro_batch=512
    )
    assert memory.total / MIB == pytest.approx(peak + untouched, rel=0.06)


def test_a_thousand_estimates_leave_time_for_the_plan() -> None:
    started = time.process_time()
    for context in range(1000, 2000):
        estimate("llama.cpp", LFM2_1_2B, weight_bytes=Q4_0, context=context)
    assert time.process_time() - started < 0.5
