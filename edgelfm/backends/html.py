"""What a loaded model holds, in a notebook."""

from __future__ import annotations

from ..markup import bar, bundle, heading, keyed
from ..units import format_bytes
from .base import Memory

#: Names of the parts for people, and the class that gives each its colour.
_PARTS = {
    "weights": ("weights", "weights"),
    "kv": ("KV cache", "kv"),
    "conv": ("convolution state", "conv"),
    "compute": ("compute buffers", "compute"),
    "output": ("output", "other"),
}


def memory_bundle(memory: Memory) -> dict[str, str]:
    """The parts and their sum."""
    total = format_bytes(memory.total)
    text = ", ".join(f"{name} {format_bytes(size)}" for name, _, size in _parts(memory))
    above = heading(f"{total} held by the model", "the interpreter and libraries not counted")
    return bundle(f"{total} held by the model: {text}", above, drawn(memory))


def drawn(memory: Memory) -> str:
    """The parts as shares of their sum, and in figures below."""
    parts = [(name, look, size) for name, look, size in _parts(memory) if size]
    named = [(look, f"{name} {format_bytes(size)}") for name, look, size in parts]
    shares = [(look, size / memory.total) for _, look, size in parts]
    return bar(shares, ", ".join(words for _, words in named)) + keyed(named)


def _parts(memory: Memory) -> list[tuple[str, str, int]]:
    return [(name, look, getattr(memory, field)) for field, (name, look) in _PARTS.items()]
