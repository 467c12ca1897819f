"""The execution providers that edgelfm knows: what they are called, what brings them, and how they are started."""

from __future__ import annotations

from dataclasses import dataclass

CPU = "CPUExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"


@dataclass(frozen=True, slots=True)
class Provider:
    """One kind of provider, and how edgelfm starts it."""

    name: str  # ONNX Runtime's
    short: str  # for people
    install: str  # what brings it
    options: tuple[tuple[str, str], ...] = ()
    memory: str = "cpu"  # where caches lie, in ONNX Runtime's words
    unasked: bool = True  # whether it is tried where nobody named any


#: In the order they are tried. TensorRT is not tried unasked: it builds an engine for every length of a prompt and
#: does not know the attention operator of published graphs.
PROVIDERS = (
    Provider("CUDAExecutionProvider", "CUDA", "pip install onnxruntime-gpu",
             (("arena_extend_strategy", "kSameAsRequested"),), "cuda"),
    Provider("TensorrtExecutionProvider", "TensorRT", "pip install onnxruntime-gpu tensorrt", (), "cuda", False),
    Provider("CoreMLExecutionProvider", "CoreML", "pip install onnxruntime", (("ModelFormat", "MLProgram"),)),
    Provider("DmlExecutionProvider", "DirectML", "pip install onnxruntime-directml", (), "dml"),
    Provider("QNNExecutionProvider", "QNN", "pip install onnxruntime-qnn", (("htp_performance_mode", "burst"),)),
    Provider(OPENVINO, "OpenVINO", "pip install onnxruntime-ep-openvino"),
    Provider("VitisAIExecutionProvider", "VitisAI", "pip install onnxruntime-vitisai"),
    Provider(CPU, "CPU", "pip install onnxruntime"),
)  # fmt: skip


def full_name(name: str) -> str:
    """ONNX Runtime's name of a provider: "openvino" and "OpenVINO" are "OpenVINOExecutionProvider"."""
    plain = name.lower().removesuffix("executionprovider")
    for known in PROVIDERS:
        if plain in (known.short.lower(), known.name.lower().removesuffix("executionprovider")):
            return known.name
    return name


def short_name(name: str) -> str:
    """What people call it."""
    return next((known.short for known in PROVIDERS if known.name == name), name)
