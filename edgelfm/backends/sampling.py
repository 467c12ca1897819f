"""How the next token is picked from the logits, where a runtime leaves that to us. The one specification of the steps.

1. `logit_bias` is added.
2. Repetition penalty: a word among the last `PENALTY_WINDOW` tokens, prompt included, has its logit divided by the
   penalty if it is positive and multiplied if it is not; once, however often the word was there.
3. top-k keeps the k largest; 0 and None keep all.
4. top-p keeps the likeliest words until their probabilities reach p; the one that crosses it stays.
5. min-p keeps words at least that many times as likely as the likeliest.
6. The logits that are left are divided by the temperature, and one word is drawn. At temperature 0 the largest logit
   after step 2 is taken.

llama.cpp does the same in its own samplers and MLX on its device; a test holds the three together. Knows no runtime:
it is given a row of numbers and gives back an id.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import RequestError
from ..models.entry import Sampling
from .base import TokenLogprob

if TYPE_CHECKING:
    import numpy

    Row = numpy.ndarray[Any, numpy.dtype[numpy.float32]]

PENALTY_WINDOW = 64  # tokens; llama.cpp's default, and what the model cards' repetition penalties were tried with


def require_known(logit_bias: Mapping[int, float], vocabulary: int) -> None:
    """Return if every biased token exists. Raises `RequestError`."""
    if unknown := [token for token in logit_bias if not 0 <= token < vocabulary]:
        raise RequestError(
            f"logit_bias names token {unknown[0]}, and the model has {vocabulary:,}",
            hint="ids are counted from 0; or give the token's text",
        )


class Sampler:
    """Picks tokens for one reply. The same `seed` and logits give the same tokens on every runtime that uses it."""

    def __init__(
        self,
        sampling: Sampling,
        seed: int | None,
        prompt: Sequence[int],
        logit_bias: Mapping[int, float],
        vocabulary: int,
    ) -> None:
        """`vocabulary` is the number of logits in a row. Raises `RequestError` for a bias on a token beyond it."""
        import numpy

        require_known(logit_bias, vocabulary)
        self._numpy, self._chosen = numpy, sampling
        self._biased = numpy.array([*logit_bias], numpy.intp)
        self._biases = numpy.array([*logit_bias.values()], numpy.float32)
        self._recent = deque(prompt[-PENALTY_WINDOW:], PENALTY_WINDOW)
        # numpy takes no negative seeds.
        self._generator = numpy.random.Generator(numpy.random.PCG64(None if seed is None else seed % 2**128))

    @property
    def plain(self) -> bool:
        """Whether the token is simply the largest logit, which a runtime can find on its own device."""
        chosen = self._chosen
        return chosen.temperature <= 0 and chosen.repetition_penalty == 1.0 and not self._biased.size

    def pick(self, row: Row) -> int:
        """The next token from `row`, the logits of every word in float32. The row is left as it was."""
        if self.plain:
            return int(row.argmax())
        penalty = self._chosen.repetition_penalty
        if self._biased.size or penalty != 1.0:
            row = row.copy()
        if self._biased.size:
            row[self._biased] += self._biases
        if penalty != 1.0:
            seen = self._numpy.fromiter(set(self._recent), self._numpy.intp)
            values = row[seen]
            row[seen] = self._numpy.where(values > 0, values / penalty, values * penalty)
        token = int(row.argmax()) if self._chosen.temperature <= 0 else self._draw(row)
        self._recent.append(token)
        return token

    def _draw(self, row: Row) -> int:
        numpy, chosen = self._numpy, self._chosen
        words = self._largest(row)
        scores = row if words is None else row[words]
        if chosen.top_p is not None and chosen.top_p < 1:
            order = (-scores).argsort(kind="stable")
            scores, words = scores[order], order if words is None else words[order]
            before = numpy.cumsum(_softmax(numpy, scores))
            kept = 1 + int(numpy.searchsorted(before, chosen.top_p))  # with the one that crosses it
            scores, words = scores[:kept], words[:kept]
        if chosen.min_p:
            likely = scores >= scores.max() + math.log(min(chosen.min_p, 1.0))
            words = numpy.flatnonzero(likely) if words is None else words[likely]
            scores = scores[likely]
        reached = numpy.cumsum(_softmax(numpy, scores.astype(numpy.float64) / chosen.temperature))
        # Rounding can leave the sum below what is drawn: the last word then.
        place = min(int(numpy.searchsorted(reached, self._generator.random() * reached[-1], "right")), len(reached) - 1)
        return place if words is None else int(words[place])

    def _largest(self, row: Row) -> Any:
        """Words that top-k leaves, in the order of their ids, so that the same draw means the same word. None: all."""
        top_k = self._chosen.top_k
        if not top_k or top_k >= row.size:
            return None
        words = self._numpy.argpartition(row, row.size - top_k)[row.size - top_k :]
        words.sort()
        return words


def logprob(row: Row, token: int, top: int, piece: Callable[[int], bytes]) -> TokenLogprob:
    """How likely `token` was by the logits in `row`, and the `top` likeliest beside it. `piece` spells a token."""
    import numpy

    scores = row.astype(numpy.float64)
    peak = scores.max()
    scores -= peak + math.log(numpy.exp(scores - peak).sum())
    likeliest = numpy.argpartition(-scores, top - 1)[:top] if 0 < top < scores.size else numpy.arange(scores.size)[:top]
    likeliest = likeliest[(-scores[likeliest]).argsort(kind="stable")]
    best = tuple((int(i), piece(int(i)), float(scores[i])) for i in likeliest)
    return TokenLogprob(token, piece(token), float(scores[token]), best)


def _softmax(numpy: Any, scores: Any) -> Any:
    powers = numpy.exp(scores - scores.max())
    return powers / powers.sum()
