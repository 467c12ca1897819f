"""A sampling preset as array operations, so that a token need not be known to compute the one after it."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from ...models.entry import Sampling
from ..sampling import PENALTY_WINDOW, require_known


class Sampler:
    """Picks the next token, as `backends.sampling` specifies."""

    def __init__(
        self,
        mx: ModuleType,
        sampling: Sampling,
        seed: int | None,
        prompt: Sequence[int],
        logit_bias: Mapping[int, float],
        vocabulary: int,
    ) -> None:
        """`vocabulary` is the number of logits. Raises `RequestError` for a bias on a token beyond it."""
        require_known(logit_bias, vocabulary)  # MLX would write wherever that is
        self._mx = mx
        self._bias = mx.array(list(logit_bias), mx.uint32), mx.array(list(logit_bias.values()), mx.float32)
        self._biased = bool(logit_bias)
        self._sampling = sampling
        self._seeds = random.Random(seed)  # one key a token; MLX's own generator belongs to the whole process
        self.recent = mx.array(list(prompt[-PENALTY_WINDOW:]), mx.uint32)  # what the penalty looks at

    def pick(self, logits: Any) -> Any:
        """The next token, of shape (1,), from `logits` of shape (1, words). Not computed yet."""
        mx, chosen = self._mx, self._sampling
        scores = logits[0].astype(mx.float32)
        if self._biased:
            words, added = self._bias
            scores = scores.at[words].add(added)
        if chosen.repetition_penalty != 1.0:
            scores = self._penalized(scores)
        token = mx.argmax(scores, keepdims=True) if chosen.temperature <= 0 else self._draw(scores)
        token = token.astype(mx.uint32)
        if chosen.repetition_penalty != 1.0:
            self.recent = mx.concatenate([self.recent, token])[-PENALTY_WINDOW:]
        return token

    def _penalized(self, scores: Any) -> Any:
        mx, penalty = self._mx, self._sampling.repetition_penalty
        seen = scores[self.recent]
        seen = mx.where(seen > 0, seen / penalty, seen * penalty)
        return mx.put_along_axis(scores, self.recent, seen, axis=0)  # a token seen twice is penalised once

    def _draw(self, scores: Any) -> Any:
        mx, chosen = self._mx, self._sampling
        words = None  # which word each score belongs to, once they are no longer in order
        if chosen.top_k and chosen.top_k < scores.size:
            words = mx.argpartition(-scores, chosen.top_k - 1)[: chosen.top_k]
            scores = scores[words]
        if chosen.top_p is not None and chosen.top_p < 1:
            order = mx.argsort(-scores)
            words = order if words is None else words[order]
            scores = scores[order]
            probabilities = mx.softmax(scores)
            before = mx.cumsum(probabilities) - probabilities
            # Rounding can leave something before the first: it is kept whatever happens.
            kept = mx.logical_or(before < chosen.top_p, mx.arange(scores.size) == 0)
            scores = mx.where(kept, scores, -math.inf)
        if chosen.min_p:
            scores = mx.where(scores >= mx.max(scores) + math.log(min(chosen.min_p, 1.0)), scores, -math.inf)
        key = mx.random.key(self._seeds.getrandbits(63))
        place = mx.random.categorical(scores / chosen.temperature, key=key).reshape(1)
        return place if words is None else words[place]
