"""How likely a token was, from the logits llama.cpp computed. Only for those who ask: it reads every word of the model.

It does not know what was sampled from these logits, nor how: filters, penalties and biases have no part in it.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ..base import TokenLogprob
from .vocabulary import Vocabulary

_BLOCK = 256  # words whose maximum is taken at once on the way to the likeliest


def row(llama: ModuleType, ctx: int, words: int) -> Any:
    """The logits after the last evaluated token, float32 of shape (words,). The next evaluation overwrites them."""
    import numpy

    return numpy.ctypeslib.as_array(llama.llama_get_logits_ith(ctx, -1), (words,))


def read(row: Any, vocabulary: Vocabulary, token: int, top: int) -> TokenLogprob:
    """The logarithm of the probability of `token` by the logits it was sampled from, and the `top` likeliest."""
    import numpy

    highest = row.max()
    # Sums in double precision: 65,536 terms of nearly nothing add up to something.
    total = float(highest) + float(numpy.log(numpy.exp(row - highest).sum(dtype=numpy.float64)))
    best = tuple((int(i), vocabulary.piece(int(i)), float(row[i]) - total) for i in _likeliest(numpy, row, top))
    return TokenLogprob(token, vocabulary.piece(token), float(row[token]) - total, best)


def _likeliest(numpy: ModuleType, row: Any, count: int) -> Any:
    """Indices of the `count` largest values, largest first, the lower index first among equals.

    A partition of the whole row costs ten times as much: the `count`-th largest block maximum is a bound that only a
    few values reach.
    """
    if count < 1:
        return ()
    maxima = numpy.maximum.reduceat(row, numpy.arange(0, len(row), _BLOCK))
    bound = numpy.partition(maxima, -count)[-count] if count <= len(maxima) else -numpy.inf
    candidates = numpy.flatnonzero(row >= bound)
    return candidates[numpy.argsort(-row[candidates], kind="stable")[:count]]
