"""A sampling preset as one chain of llama.cpp's own C samplers: no logits are copied into Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType

from ...models.entry import Sampling

PENALTY_WINDOW = 64  # tokens; llama.cpp's default, and what the model cards' repetition penalties were tried with
_MINIMUM_KEPT = 1  # candidates that every filter leaves
_RANDOM_SEED = 0xFFFFFFFF  # LLAMA_DEFAULT_SEED: take entropy from the system


class Sampler:
    """Picks the next token.

    Order: bias, repetition penalty, top-k, top-p, min-p, temperature, draw, as llama.cpp's own programs do.
    """

    def __init__(
        self,
        llama: ModuleType,
        vocabulary: int,
        sampling: Sampling,
        seed: int | None,
        logit_bias: Mapping[int, float] | None = None,
    ) -> None:
        self._llama = llama
        params = llama.llama_sampler_chain_default_params()
        params.no_perf = True
        self.chain = llama.llama_sampler_chain_init(params)
        if logit_bias:
            biases = (llama.llama_logit_bias * len(logit_bias))(*logit_bias.items())
            llama.llama_sampler_chain_add(
                self.chain, llama.llama_sampler_init_logit_bias(vocabulary, len(biases), biases)
            )
        for link in _links(llama, vocabulary, sampling, _RANDOM_SEED if seed is None else seed & 0xFFFFFFFF):
            llama.llama_sampler_chain_add(self.chain, link)

    def accept(self, tokens: Sequence[int]) -> None:
        """Let the repetition penalty see the end of the prompt."""
        for token in tokens[-PENALTY_WINDOW:]:
            self._llama.llama_sampler_accept(self.chain, token)

    def close(self) -> None:
        """Free the chain and its links."""
        if self.chain:
            self._llama.llama_sampler_free(self.chain)
            self.chain = None


def _links(llama: ModuleType, vocabulary: int, sampling: Sampling, seed: int) -> list[object]:
    links: list[object] = []
    if sampling.repetition_penalty != 1.0:
        links.append(
            llama.llama_sampler_init_penalties(vocabulary, PENALTY_WINDOW, sampling.repetition_penalty, 0.0, 0.0)
        )
    if sampling.temperature <= 0:
        return [*links, llama.llama_sampler_init_greedy()]
    if sampling.top_k:
        links.append(llama.llama_sampler_init_top_k(sampling.top_k))
    if sampling.top_p is not None and sampling.top_p < 1:
        links.append(llama.llama_sampler_init_top_p(sampling.top_p, _MINIMUM_KEPT))
    if sampling.min_p:
        links.append(llama.llama_sampler_init_min_p(sampling.min_p, _MINIMUM_KEPT))
    links.append(llama.llama_sampler_init_temp(sampling.temperature))
    links.append(llama.llama_sampler_init_dist(seed))
    return links
