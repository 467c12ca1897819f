"""Is PyTorch faster in bf16 or in f32 on a CPU that has no arithmetic for bf16? Fewer bytes against more work.

bf16 halves what is read for each token, which is most of what a token takes; prompts are all arithmetic. So both are
timed, in the proportions of a turn of a chat.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from ...hardware.cgroups import Limits
from ...hardware.cpu import read_cpu
from ...hardware.machine import Machine
from ...hardware.torch_bf16 import keep_ratio, known_ratio

_READ, _WRITTEN = 256, 128  # tokens of a turn
_PIECE = 64  # tokens read at once while measuring
_OUTPUTS, _INPUTS = 4096, 2048  # of a matrix as it is in LFM2-1.2B; 32 MiB in f32, more than caches hold
_RUNS = 6  # the first touches everything


def bf16_ratio(torch: ModuleType) -> float:
    """Time of a turn in bf16 as a share of that in f32, as kept or else measured, which takes half a second."""
    machine = Machine.here()
    cpu = read_cpu(machine, Limits()).model
    ratio = known_ratio(machine, cpu)
    if ratio is None:
        half, whole = _turns(torch, (torch.bfloat16, torch.float32))
        ratio = half / whole
        keep_ratio(machine, cpu, ratio)
    return ratio


def _turns(torch: ModuleType, dtypes: Sequence[Any]) -> list[float]:
    """Seconds of a turn in each. They take turns themselves, so that whatever else runs here hits all of them."""
    works = []
    for dtype in dtypes:
        matrix = torch.full((_OUTPUTS, _INPUTS), 0.5, dtype=dtype)
        works += [(torch.full((count, _INPUTS), 0.5, dtype=dtype), matrix) for count in (_PIECE, 1)]
    least = [float("inf")] * len(works)
    with torch.inference_mode():
        for _ in range(_RUNS):
            for place, (tokens, matrix) in enumerate(works):
                started = time.perf_counter()
                torch.nn.functional.linear(tokens, matrix)
                least[place] = min(least[place], time.perf_counter() - started)
    pairs = zip(least[::2], least[1::2], strict=True)
    return [read * _READ / _PIECE + written * _WRITTEN for read, written in pairs]
