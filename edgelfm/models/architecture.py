"""The shape of a network: which layers attend, which convolve, how wide everything is.

LFM models are hybrids. An attention layer keeps keys and values for every token of context; a short-convolution layer
keeps the last `conv_cache - 1` columns and nothing else. Memory depends on which layer is which, so it is written out.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes of one network. Counts are in elements; nothing here is in bytes."""

    name: str  # as in GGUF `general.architecture`: lfm2, lfm2moe, lfm3, llama
    layers: int
    kv_heads: tuple[int, ...]  # one per layer; 0 marks a convolution layer
    hidden: int
    heads: int
    head_dim: int
    feed_forward: int  # effective width, after LFM2's rounding rule
    vocabulary: int
    conv_cache: int = 0  # `conv_L_cache`; 0 where no layer convolves
    tied_embeddings: bool = True
    sliding_window: int = 0  # tokens kept by sliding-window layers
    sliding_layers: tuple[int, ...] = ()
    experts: int = 0
    experts_used: int = 0
    expert_feed_forward: int = 0
    dense_layers: int = 0  # leading layers without experts in a mixture
    qk_norm: bool = True  # per-head norms on queries and keys (LFM2), absent in Llama
    context_supported: int = 0  # tokens: what the model card stands behind
    context_advertised: int = 0  # tokens: what config.json or the GGUF says; larger is a trap, not an offer

    @property
    def attention_layers(self) -> tuple[int, ...]:
        """Indices of the layers that keep keys and values."""
        return tuple(i for i, heads in enumerate(self.kv_heads) if heads)

    @property
    def conv_layers(self) -> tuple[int, ...]:
        """Indices of the short-convolution layers."""
        return tuple(i for i, heads in enumerate(self.kv_heads) if not heads)

    def keys(self, tokens: int, window: int = 0) -> int:
        """Keys that all layers together keep after `tokens`, each `head_dim` wide. There are as many values.

        A sliding-window layer keeps no more than its window, or `window` where a runtime gives it more room.
        """
        kept = min(tokens, window or self.sliding_window or tokens)
        return sum(
            heads * (kept if layer in self.sliding_layers else tokens) for layer, heads in enumerate(self.kv_heads)
        )
