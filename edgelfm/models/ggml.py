"""Storage types of ggml tensors: how many bytes a shape takes in each of them.

A quantized type packs values in blocks; a row is a whole number of blocks, and rows are stored one after another.
Block and byte counts are those of the structures in llama.cpp's ggml/src/ggml-common.h. Types that ggml only uses while
it computes (Q8_1, Q8_K) are left out: no file holds them. This module knows nothing about models or files.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod


@dataclass(frozen=True, slots=True)
class StorageType:
    """One ggml type: `block_bytes` bytes hold `block` values."""

    id: int
    name: str
    block: int
    block_bytes: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a weights file. The first dimension of `shape` is the contiguous one."""

    name: str
    shape: tuple[int, ...]
    type: str  # name of a `StorageType`
    bytes: int
    offset: int = 0  # from the start of the data section; 0 where no file was read

    @property
    def layer(self) -> int:
        """Index of the layer it belongs to, -1 for the embedding, the output head and the last norm."""
        parts = self.name.split(".", 2)
        return int(parts[1]) if len(parts) == 3 and parts[0] == "blk" and parts[1].isdecimal() else -1


TYPES = {
    kind.name: kind
    for kind in (
        StorageType(0, "F32", 1, 4),
        StorageType(1, "F16", 1, 2),
        StorageType(2, "Q4_0", 32, 18),
        StorageType(3, "Q4_1", 32, 20),
        StorageType(6, "Q5_0", 32, 22),
        StorageType(7, "Q5_1", 32, 24),
        StorageType(8, "Q8_0", 32, 34),
        StorageType(10, "Q2_K", 256, 84),
        StorageType(11, "Q3_K", 256, 110),
        StorageType(12, "Q4_K", 256, 144),
        StorageType(13, "Q5_K", 256, 176),
        StorageType(14, "Q6_K", 256, 210),
        StorageType(16, "IQ2_XXS", 256, 66),
        StorageType(17, "IQ2_XS", 256, 74),
        StorageType(18, "IQ3_XXS", 256, 98),
        StorageType(19, "IQ1_S", 256, 50),
        StorageType(20, "IQ4_NL", 32, 18),
        StorageType(21, "IQ3_S", 256, 110),
        StorageType(22, "IQ2_S", 256, 82),
        StorageType(23, "IQ4_XS", 256, 136),
        StorageType(24, "I8", 1, 1),
        StorageType(25, "I16", 1, 2),
        StorageType(26, "I32", 1, 4),
        StorageType(27, "I64", 1, 8),
        StorageType(28, "F64", 1, 8),
        StorageType(29, "IQ1_M", 256, 56),
        StorageType(30, "BF16", 1, 2),
        StorageType(34, "TQ1_0", 256, 54),
        StorageType(35, "TQ2_0", 256, 66),
        StorageType(39, "MXFP4", 32, 17),
        StorageType(40, "NVFP4", 64, 36),
        StorageType(41, "Q1_0", 128, 18),
        StorageType(42, "Q2_0", 64, 18),
    )
}
BY_ID = {kind.id: kind for kind in TYPES.values()}


def tensor_bytes(shape: tuple[int, ...], type: str) -> int:
    """Bytes of a tensor of `shape`. The first dimension must be a multiple of the type's block."""
    kind = TYPES[type]
    return shape[0] // kind.block * kind.block_bytes * prod(shape[1:])
