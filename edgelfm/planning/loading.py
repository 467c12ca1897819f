"""What is to be loaded and how: the figures that memory models ask for, free of models, plans and hosts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .plan import Device, KvType

#: A torch that was built for GPUs takes hundreds of megabytes more, whether or not there is one.
Torch = Literal["", "cpu", "gpu"]


@dataclass(frozen=True, slots=True)
class Loading:
    """One way to open one file of weights."""

    weight_bytes: int  # all tensors, as stored
    context: int  # tokens
    repacked_bytes: int = 0  # of the weights, those the runtime rewrites for this CPU
    micro_batch: int = 512  # tokens computed at once
    batch: int = 512  # tokens handed over at once
    kv_type: KvType = "f16"
    flash_attention: bool = True
    mmap: bool = False
    gpu_layers: int = 0
    gpu_memory: Device = "gpu"  # "host" for a GPU that shares main memory
    number_bytes: int = 2  # of one key or value, outside llama.cpp
    widened: bool = False  # weights are held in twice as many bits as they are stored in
    torch: Torch = ""  # what is installed beside the runtime, or is the runtime
