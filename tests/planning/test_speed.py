"""Decode is bandwidth over bytes, as a range; what nobody knows stays unknown."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from edgelfm.decision import Decision
from edgelfm.hardware.host import Gpu, Host
from edgelfm.hardware.profiles import Match, SpeedReference
from edgelfm.models.entry import ModelEntry
from edgelfm.models.tensors import decode_bytes
from edgelfm.planning.acceleration import Acceleration
from edgelfm.planning.pace import LLAMA_CPP, LLAMA_CPP_GPU, MLX_CPU, MLX_CPU_QUANTIZED, ONNX, TRANSFORMERS, pace
from edgelfm.planning.plan import SpeedEstimate
from edgelfm.planning.sizes import BITS
from edgelfm.planning.speed import (
    COMFORTABLE,
    bytes_per_token,
    comfortable,
    decode_speed,
    memory_bandwidth,
    midpoint,
    prefill_speed,
    references,
)

MakeHost = Callable[..., Host]
MakeMatch = Callable[..., Match]
Find = Callable[[str], ModelEntry]


def read(entry: ModelEntry, quantization: str = "Q4_0") -> int:
    assert entry.architecture is not None
    return bytes_per_token(decode_bytes(entry.architecture, quantization), entry.architecture)


def layers(entry: ModelEntry) -> int:
    assert entry.architecture is not None
    return entry.architecture.layers


def width(speed: SpeedEstimate) -> float:
    assert speed.low is not None
    assert speed.high is not None
    return speed.high / speed.low


@pytest.mark.parametrize(
    ("id", "quantization", "measured"),
    [
        ("lfm2.5-350m", "Q4_0", (94, 105)),
        ("lfm2.5-1.2b-instruct", "Q4_0", (38, 38)),
        ("lfm2.5-1.2b-instruct", "Q4_K_M", (36, 36)),
        ("lfm2.5-1.2b-instruct", "Q8_0", (20, 20)),
        ("starter", "Q4_1", (103, 134)),
    ],
)
def test_speeds_measured_on_a_machine_of_31_6_gb_per_second_lie_in_the_range(
    model: Find, id: str, quantization: str, measured: tuple[float, float]
) -> None:
    speed = decode_speed(read(model(id), quantization), layers(model(id)), Decision(31.6e9, "measured", "measured"))
    assert speed.low is not None
    assert speed.high is not None
    assert speed.low < measured[0] <= measured[1] < speed.high
    assert speed.grade == "estimated", "a prediction, however well its inputs are known"


SLOWER = (
    (31.6e9, "lfm2.5-350m", "transformers", "bf16", 12.4),
    (31.6e9, "lfm2.5-350m", "transformers", "fp32", 9.7),
    (31.6e9, "lfm2.5-350m", "mlx", "bf16", 2.8),
    (31.6e9, "lfm2.5-350m", "onnx", "int4", 46),
    (54.5e9, "lfm2.5-350m", "transformers", "bf16", 11.4),
    (54.5e9, "lfm2.5-350m", "onnx", "int4", 59),
    (54.5e9, "lfm2.5-350m", "mlx", "4bit", 0.37),
    (54.5e9, "starter", "transformers", "bf16", 17.1),
    (54.5e9, "starter", "onnx", "int4", 113),
)


@pytest.mark.parametrize(("bandwidth", "id", "backend", "quantization", "measured"), SLOWER)
def test_what_other_runtimes_were_measured_at_on_two_cores_lies_in_their_ranges(
    model: Find, bandwidth: float, id: str, backend: str, quantization: str, measured: float
) -> None:
    entry = model(id)
    assert entry.parameters is not None
    assert entry.architecture is not None
    read = bytes_per_token(round(entry.parameters * BITS[quantization] / 8), entry.architecture)
    own = pace(backend, "cpu", quantization)
    speed = decode_speed(read, layers(entry), Decision(bandwidth, "measured", "measured"), own)
    assert speed.low is not None
    assert speed.high is not None
    assert speed.low < measured < speed.high
    as_llama_cpp = decode_speed(read, layers(entry), Decision(bandwidth, "measured", "measured"))
    assert speed.high < as_llama_cpp.high
    assert own.note
    assert speed.reason.endswith(own.note)


def test_a_data_sheet_promises_no_more_of_a_slower_runtime_either() -> None:
    for own in (TRANSFORMERS, ONNX, MLX_CPU, MLX_CPU_QUANTIZED):
        sheet, run = (decode_speed(10**9, 16, Decision(30e9, "", grade), own) for grade in ("estimated", "measured"))
        assert sheet.low <= run.low <= sheet.high <= run.high


def test_mlx_is_as_fast_as_llama_cpp_on_the_gpu_of_a_mac() -> None:
    assert pace("mlx", "gpu", "4bit") == pace("llama.cpp", "gpu", "Q4_0") == LLAMA_CPP_GPU


@pytest.mark.parametrize("backend", ["llama.cpp", "mlx", "transformers", "onnx"])
def test_on_a_gpu_the_reason_says_what_the_range_rests_on(backend: str) -> None:
    own = pace(backend, "gpu", "")
    speed = decode_speed(10**9, 16, Decision(200e9, "of the card", "estimated"), own)
    assert re.search("of GPUs, runs that others published|nobody has measured .* on a GPU", speed.reason)
    assert width(speed) > width(decode_speed(10**9, 16, Decision(200e9, "", "estimated"), LLAMA_CPP))


#: Bandwidth of the data sheet in GB/s, GB read for a token, layers, tokens/s that others measured with llama.cpp.
PUBLISHED_ON_GPUS = {
    "1.5B in Q4_K_M on an Orin Nano": (102, 1.12, 28, 32.1),
    "LFM2.5-8B-A1B in Q4_K_M on an Orin Nano": (102, 1.04, 24, 29.4),
    "7B in 4 bits on an AGX Orin": (205, 3.83, 32, 22.5),
    "12B in Q4_0 on a Thor": (273, 6.9, 48, 23),
    "8B in Q4_K_M on an M4": (120, 4.92, 32, 20.9),
    "8B in Q4_K_M on an M1 Max": (400, 4.92, 32, 46.2),
}


@pytest.mark.parametrize("case", PUBLISHED_ON_GPUS)
def test_what_others_measured_on_gpus_lies_in_the_range(case: str) -> None:
    sheet, read, count, published = PUBLISHED_ON_GPUS[case]
    speed = decode_speed(round(read * 1e9), count, Decision(sheet * 1e9, "", "estimated"), LLAMA_CPP_GPU)
    assert speed.low < published < speed.high


def test_a_measured_bandwidth_gives_a_tighter_range_than_an_expected_one() -> None:
    measured = decode_speed(10**9, 16, Decision(30e9, "", "measured"))
    expected = decode_speed(10**9, 16, Decision(30e9, "", "estimated"))
    assert width(measured) < width(expected)


def test_without_bandwidth_speed_is_unknown_and_says_why() -> None:
    speed = decode_speed(10**9, 16, Decision(None, "nobody knows", "unknown"))
    assert (speed.low, speed.high, speed.grade, speed.reason) == (None, None, "unknown", "nobody knows")
    assert midpoint(speed) is None


def test_prefill_is_never_invented() -> None:
    assert prefill_speed().grade == "unknown"
    assert prefill_speed().reason


def test_comfortable_is_reading_speed() -> None:
    assert comfortable(decode_speed(10**9, 16, Decision(COMFORTABLE * 1.5e9, "", "measured")))
    assert not comfortable(decode_speed(10**9, 16, Decision(COMFORTABLE * 1e9, "", "measured")))
    assert comfortable(decode_speed(10**9, 16, Decision(None, "", "unknown"))), "nothing speaks against it"


def test_a_mixture_reads_only_the_experts_in_use(model: Find) -> None:
    mixture, dense = model("lfm2.5-8b-a1b"), model("lfm2.5-2.6b")
    assert mixture.parameters is not None
    assert dense.parameters is not None
    assert mixture.parameters > 3 * dense.parameters
    assert read(mixture) < read(dense)


def test_bandwidth_measured_here_is_believed_before_the_profile(make_host: MakeHost, make_match: MakeMatch) -> None:
    found = memory_bandwidth(make_host(bandwidth=31e9), make_match(bandwidth=50e9), Acceleration(None))
    assert (found.value, found.grade) == (31e9, "measured")


def test_the_profile_is_believed_where_nothing_was_measured(make_host: MakeHost, make_match: MakeMatch) -> None:
    found = memory_bandwidth(make_host(), make_match(bandwidth=50e9), Acceleration(None))
    assert (found.value, found.grade) == (50e9, "estimated")
    assert "data sheet" in found.reason


def test_main_memory_says_nothing_about_a_discrete_gpu(make_host: MakeHost, make_match: MakeMatch) -> None:
    card = Acceleration(Gpu("nvidia", "RTX 4090", usable=True), "CUDA")
    found = memory_bandwidth(make_host(bandwidth=60e9), make_match(bandwidth=60e9), card)
    assert (found.value, found.grade) == (None, "unknown")
    assert found.reason == "nothing is known about the memory bandwidth of the RTX 4090"


def test_a_discrete_gpu_has_the_bandwidth_its_driver_tells(make_host: MakeHost, make_match: MakeMatch) -> None:
    gpu = Gpu(
        "nvidia",
        "RTX 4090",
        usable=True,
        memory_bandwidth_bytes_per_second=1008e9,
        memory_bandwidth_reason="384 bits at 10501 MHz",
    )
    found = memory_bandwidth(make_host(bandwidth=60e9), make_match(bandwidth=60e9), Acceleration(gpu, "CUDA"))
    assert (found.value, found.grade) == (1008e9, "estimated")
    assert found.reason == "1.01 TB/s of the RTX 4090 (384 bits at 10501 MHz)"


def test_how_to_learn_the_bandwidth_of_a_card_is_passed_on(make_host: MakeHost, make_match: MakeMatch) -> None:
    gpu = Gpu("nvidia", "RTX 4090", usable=True, memory_bandwidth_reason="to ask NVML: pip install nvidia-ml-py")
    found = memory_bandwidth(make_host(), make_match(), Acceleration(gpu, "CUDA"))
    assert found.value is None
    assert found.reason.endswith("of the RTX 4090 (to ask NVML: pip install nvidia-ml-py)")


@pytest.mark.parametrize(("expected", "value"), [(273e9, 273e9), (None, 31e9)])
def test_unified_memory_is_as_fast_as_main_memory_whatever_the_gpu_says(
    expected: float | None, value: float, make_host: MakeHost, make_match: MakeMatch
) -> None:
    gpu = Gpu("nvidia", "GB10", unified=True, usable=True, memory_bandwidth_bytes_per_second=9e12)
    found = memory_bandwidth(make_host(bandwidth=31e9), make_match(bandwidth=expected), Acceleration(gpu, "CUDA"))
    assert found.value == value


def test_published_speeds_of_this_model_are_carried_with_their_source() -> None:
    published = (
        SpeedReference("lfm2.5-350m", "int8", "cactus", 30.0, 200.0, "blog"),
        SpeedReference("lfm2.5-1.2b-instruct", "Q4_0", "llama.cpp", 12.0, None, "elsewhere"),
    )
    (found,) = references(published, "lfm2.5-350m")
    assert (found.decode, found.runtime, found.source) == (30.0, "cactus", "blog")
