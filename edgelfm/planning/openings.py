"""What only some runtimes leave open: on which device, in which numbers, by which execution providers. With reasons."""

from __future__ import annotations

from ..decision import Decision
from ..hardware.host import Host
from ..hardware.torch_bf16 import ratio_in
from .acceleration import Acceleration, ready_made
from .loading import Torch
from .on_the_fly import BITS

#: torch's word for what drives a vendor's GPU.
_DEVICES = {"CUDA": "cuda", "HIP": "cuda", "XPU": "xpu", "MPS": "mps"}
#: As `Artifact.quantization` names them; what is not here is stored in 16 bits or quantized.
_STORED = {"fp32": "f32", "f32": "f32", "fp16": "f16", "f16": "f16"}
#: Features of CPUs that multiply bf16 themselves.
_NATIVE_BF16 = ("avx512_bf16", "amx_bf16", "bf16")
#: Execution providers in the order they are offered a graph. The CPU takes what the others leave.
_PROVIDERS = (
    "CUDAExecutionProvider", "CoreMLExecutionProvider", "DmlExecutionProvider", "QNNExecutionProvider",
    "OpenVINOExecutionProvider", "VitisAIExecutionProvider", "CPUExecutionProvider",
)  # fmt: skip


def device(backend: str, accelerator: Acceleration, *, offloaded: bool) -> Decision[str] | None:
    """Where PyTorch computes; None for runtimes that are told in another way."""
    if backend != "transformers":
        return None
    if offloaded:
        return Decision(_DEVICES.get(accelerator.interface, "cuda"), accelerator.reason)
    if accelerator.gpu is not None:
        return Decision("cpu", f"it does not fit into the memory of the {accelerator.gpu.name}")
    return Decision("cpu", accelerator.reason)


def dtype(backend: str, host: Host, quantization: str, *, offloaded: bool) -> Decision[str] | None:
    """In which numbers PyTorch holds the weights. Never fewer bits than stored; more where there is no arithmetic."""
    if backend != "transformers":
        return None
    if quantization in BITS:
        return Decision("bf16", f"what is not made {quantization}")
    stored = _STORED.get(quantization, "bf16")
    if stored == "f32" or offloaded:
        return Decision(stored, "as the weights are stored")
    if stored == "f16":
        return Decision("f32", "CPUs compute f16 slowly")
    native = next((name for name in _NATIVE_BF16 if name in host.cpu.features), None)
    if native is not None:
        return Decision("bf16", f"as the weights are stored, and this CPU has {native}")
    runtime = host.runtime("transformers")
    ratio = ratio_in(runtime.build) if runtime is not None else None
    if ratio is None:
        return Decision("f32", "this CPU has no arithmetic for bf16; loading measures what that costs", "unknown")
    return measured_dtype(ratio)


def measured_dtype(ratio: float) -> Decision[str]:
    """What the time of a turn in bf16, as a share of that in f32, speaks for."""
    if ratio <= 1:
        return Decision("bf16", f"as the weights are stored; a turn took {ratio:.2f} of its time in f32", "measured")
    return Decision("f32", f"a turn in bf16 took {ratio:.1f} times as long", "measured")


def widening(chosen: Decision[str] | None, quantization: str) -> int:
    """How many times larger the weights are in memory than in their files."""
    widened = chosen is not None and chosen.value == "f32" and _STORED.get(quantization, "bf16") != "f32"
    return 2 if widened else 1


def number_bytes(backend: str, quantization: str, chosen: Decision[str] | None) -> int:
    """Bytes of one key or value: as the weights are computed in. Graphs of 4 and 8 bits compute in 32."""
    if chosen is not None:
        return 4 if chosen.value == "f32" else 2
    if backend == "onnx":
        return 2 if "16" in quantization else 4
    return 4 if _STORED.get(quantization) == "f32" else 2


def torch(host: Host) -> Torch:
    """Which torch is installed here, or would be."""
    runtime = host.runtime("transformers")
    if runtime is not None and not runtime.installed and "CUDA" in ready_made(host, "transformers"):
        return "gpu"
    if runtime is None or not runtime.installed or not any(word.startswith("torch") for word in runtime.build):
        return ""
    return "gpu" if {"CUDA", "HIP", "XPU"}.intersection(runtime.build) else "cpu"


def providers(backend: str, host: Host) -> Decision[tuple[str, ...]] | None:
    """What ONNX Runtime offers the graph to, first come first served. None where it is not installed."""
    runtime = host.runtime("onnx")
    if backend != "onnx" or runtime is None:
        return None
    here = tuple(name for name in _PROVIDERS if name in runtime.build)
    if not here:
        return None
    if len(here) == 1:
        return Decision(here, f"all that {runtime.package} {runtime.version} has")
    return Decision(here, f"as {runtime.package} {runtime.version} has them; what one will not take falls to the next")
