"""On which device and in which numbers to compute, and why. Knows no model, and loads nothing.

Weights are never rounded to fewer bits than they were stored in. They are widened where the device has no arithmetic
for what was stored.
"""

from __future__ import annotations

from types import ModuleType

from ...decision import ASKED, Decision
from ...errors import BackendError, RequestError
from ...planning.openings import measured_dtype
from .numbers import bf16_ratio

#: Our names, as in a plan, and torch's.
DTYPES = {"bf16": "bfloat16", "f16": "float16", "f32": "float32"}


def choose_device(torch: ModuleType, asked: str | None) -> Decision[str]:
    """Where to compute: what was asked for, or the fastest that torch can use here. Raises `BackendError`."""
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if asked is not None:
        kind = asked.partition(":")[0]
        if kind not in ("cpu", "cuda", "mps"):
            raise RequestError(f"the device {asked!r} is not known here", hint='choose "cpu", "cuda" or "mps"')
        if (kind == "cuda" and not cuda) or (kind == "mps" and not mps):
            raise BackendError(f"torch {torch.__version__} finds no {kind} device here", hint='choose device "cpu"')
        return Decision(asked, ASKED)
    if cuda:
        return Decision("cuda", f"torch sees {torch.cuda.get_device_name(0)}")
    if mps:
        return Decision("mps", "torch sees the GPU of this Mac")
    return Decision("cpu", "torch sees no GPU")


def choose_dtype(torch: ModuleType, device: str, stored: str, asked: str | None) -> Decision[str]:
    """What weights are held and computed in: "bf16", "f16" or "f32". `stored` is torch's name of what the files hold.

    Raises `RequestError` for a name that is none of these.
    """
    if asked is not None:
        if asked not in DTYPES:
            raise RequestError(f"the dtype {asked!r} is not known here", hint=f"choose one of: {', '.join(DTYPES)}")
        return Decision(asked, ASKED)
    if stored not in ("bfloat16", "float16"):
        return Decision("f32", "as the weights are stored")
    if device.startswith("cuda"):
        if stored == "float16" or not torch.cuda.is_bf16_supported(including_emulation=False):
            return Decision("f16", "this GPU has no arithmetic for bf16" if stored == "bfloat16" else "as stored")
        return Decision("bf16", "as the weights are stored")
    if device == "mps":
        return Decision("bf16" if stored == "bfloat16" else "f16", "as the weights are stored")
    if stored == "float16":
        return Decision("f32", "CPUs compute f16 slowly")
    if feature := native_bf16():
        return Decision("bf16", f"as the weights are stored, and this CPU has {feature}")
    return measured_dtype(bf16_ratio(torch))


def native_bf16() -> str:
    """The processor's feature that multiplies bf16, or an empty string."""
    from ...hardware.cgroups import Limits
    from ...hardware.cpu import read_cpu
    from ...hardware.machine import Machine

    features = read_cpu(Machine.here(), Limits()).features
    return next((name for name in ("avx512_bf16", "bf16") if name in features), "")
