"""What a runtime makes of memory bandwidth: the share of it that reads weights, and what a layer costs besides.

Knows no machine and no model. llama.cpp is the yardstick; what was measured beside it has figures of its own, and any
other runtime is taken for as fast. Decode only.

Sources, all on two cores, decode in tokens/s, LFM2-350M with random weights and SmolLM2-135M:

| machine | llama.cpp Q4_0, Q4_1 | ONNX Runtime int4 | transformers | MLX |
|---|---|---|---|---|
| EPYC, 31.6 GB/s | 94-105, 103-134 | 43-49 (onnxruntime-genai) | bf16 12.4, f32 9.7 | bf16 2.8 |
| EPYC with bf16, 54.5 GB/s | 78, 86 | 59, 113 | bf16 11, 17 | 4bit 0.37 |
| Xeon (the README's table) | 49, 88 | 57, 98 | bf16 17, 28 | |
"""

from __future__ import annotations

from dataclasses import dataclass

from .records import Computed

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Pace:
    """Each figure is a range that holds what was measured, with room for other machines."""

    share_measured: Range  # of the read bandwidth that was measured
    share_expected: Range  # of the bandwidth that a data sheet promises
    seconds_per_layer: Range  # of waiting for each other and of small operators, however few bytes are read
    computed: Range | None = None  # bytes of weights per second that are computed with, however fast memory is
    note: str = ""  # what makes it another than llama.cpp


#: The share is 0.80-0.85 for a 1.2B on the first EPYC. Of data sheets, published speeds come to 0.66-0.68 (1.2B in Q4_0
#: on Ryzen AI 300 and Max, 350M on a Raspberry Pi 5); the range is 0.6 to 1.5 times that: nothing beats the data sheet.
#: On that EPYC bytes alone would allow 137 tokens/s of the 350M (16 layers) and 265 of SmolLM2 (30 layers), which makes
#: some 0.1 ms a layer. Few cores beside fast memory are slower: see `cores`.
LLAMA_CPP = Pace((0.7, 1.0), (0.4, 1.0), (4e-5, 2e-4))
#: Of GPUs, by llama.cpp with other networks: 0.35 of the data sheet (1.5B in Q4_K_M, Orin Nano, paiml/realizar#120),
#: 0.42 and 0.64 (7B and 12B in 4 bits, AGX Orin, nvidia-holoscan/holohub#170, NVIDIA-AI-IOT/jetson-ai-lab#411), 0.58
#: (12B on a Thor, the same), 0.85 (8B in Q4_K_M on an M4, brand-o/normiebench#3), 0.57 (M1 Max, #40), 0.29 to 0.58
#: (27B on an M4 Max and an M1 Max, ggml-org/llama.cpp#27525). A mixture of experts starts several kernels a layer:
#: LFM2.5-8B-A1B in Q4_K_M writes 29.4 tokens/s on an Orin Nano. A GPU may read faster than the cores were measured to.
_GPUS = "of GPUs, runs that others published came to 0.29 to 0.85 of that"
LLAMA_CPP_GPU = Pace((0.28, 1.5), (0.28, 1.0), (4e-5, 4e-4), note=_GPUS)
#: Two networks on one machine tell bytes and layers apart: 0.18 of the bandwidth and 1.0 ms a layer on the second EPYC,
#: 14 GB/s and 0.6 ms on the Xeon. With 0.6 ms the first EPYC comes to 0.3 in bf16 and 0.5 in f32.
TRANSFORMERS = Pace((0.15, 0.6), (0.1, 0.5), (4e-4, 1.2e-3), note="PyTorch used 0.15 to 0.6 of that on CPUs")
#: Nobody has measured these two. A GPU is read better than PyTorch reads a CPU's memory, but Python takes its time for
#: a layer there too, and more of it on the cores of a Jetson.
TRANSFORMERS_GPU = Pace((0.1, 1.0), (0.1, 0.9), (4e-4, 3e-3), note="nobody has measured PyTorch on a GPU for this")
ONNX_GPU = Pace((0.15, 1.0), (0.15, 0.9), (4e-5, 1e-3), note="nobody has measured ONNX Runtime on a GPU for this")
#: 15 GB/s on the second EPYC and on the Xeon, which is 0.8 and 1.3 times what llama.cpp reads there.
ONNX = Pace((0.25, 0.8), (0.15, 0.7), (4e-5, 2e-4), note="ONNX Runtime used 0.25 to 0.8 of that on CPUs")
_NO_METAL = "MLX computes on the CPU here, where it is not made to be fast"
#: Without a Mac's GPU arithmetic sets the pace: 2.0 GB/s of weights were read in bf16, 0.08 in 4 bits. Faster cores are
#: allowed for.
MLX_CPU = Pace((0.7, 1.0), (0.4, 1.0), (4e-5, 2e-4), (1e9, 4e9), _NO_METAL)
MLX_CPU_QUANTIZED = Pace((0.7, 1.0), (0.4, 1.0), (4e-5, 2e-4), (4e7, 4e8), _NO_METAL)
_CPU = {"transformers": TRANSFORMERS, "onnx": ONNX}
_GPU = {"transformers": TRANSFORMERS_GPU, "onnx": ONNX_GPU}


def pace(backend: str, computed: Computed, quantization: str) -> Pace:
    """Of a runtime where it computes, with weights as they are stored."""
    if backend == "mlx" and computed == "cpu":
        return MLX_CPU if quantization in ("bf16", "fp16", "fp32") else MLX_CPU_QUANTIZED
    return _GPU.get(backend, LLAMA_CPP_GPU) if computed == "gpu" else _CPU.get(backend, LLAMA_CPP)
