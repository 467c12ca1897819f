"""Computes an importance matrix: a text is read by the model before it is quantized, and of every input of every matrix
the squares are added up. The same sums as llama-imatrix's, in the same form.

Works in a process of its own, see `child`. Memory is that of the model and one piece of text; the sums are small.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RequestError
from . import child

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_PIECE = 512  # tokens evaluated together, as llama-imatrix does
#: Below so many tokens what comes out depends on which they happened to be. People use 50,000 and more.
_FEW = 10_000


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was seen."""

    tokens: int
    experts: int  # of all layers
    experts_unseen: int  # that no token went to

    def notes(self, own_text: bool) -> list[str]:
        """What people should know of it."""
        said = []
        if own_text or self.tokens < _FEW:
            which = "edgelfm's own short text" if own_text else "a short text"
            said.append(
                f"the importance matrix is of {which}, {self.tokens} tokens; a long one, like what the model will "
                "read, is better"
            )
        if self.experts_unseen:
            said.append(f"{self.experts_unseen} of {self.experts} experts never had their turn in that text")
        return said


def calibrate(
    base: Path, text: str, bos: int | None, out: Path, told: Callable[[float], None], *, own_text: bool
) -> Calibration:
    """Write the importance matrix of `base`, a GGUF in F32, F16 or BF16, reading `text`. Raises `BackendError`."""
    task = {"base": str(base), "text": text, "bos": bos, "out": str(out), "own_text": own_text}
    return Calibration(**child.run(__name__, task, told, "llama.cpp, reading the text to calibrate with,"))


class Sums:
    """Squares of inputs and how many rows they are of, by name of the matrix; one row an expert."""

    def __init__(self, experts: dict[str, int]) -> None:
        """`experts` of each matrix, 1 of one that has none."""
        self._experts = experts
        self.found: dict[str, tuple[Array, Array]] = {}

    def add(self, name: str, values: Array, chosen: Array | None) -> None:
        """See `watching.Seen`."""
        import numpy as np

        many, width = self._experts[name], values.shape[-1]
        sums, counts = self.found.setdefault(name, (np.zeros((many, width)), np.zeros(many)))
        if chosen is None:
            sums[0] += np.square(values, dtype=np.float64).sum((0, 1))
            counts[0] += len(values)
            return
        places = np.broadcast_to(values, (*chosen.shape, width))  # one for all its experts, or one for each
        for expert in np.unique(chosen):
            rows = places[chosen == expert]
            sums[expert] += np.square(rows, dtype=np.float64).sum(0)
            counts[expert] += len(rows)


def _work(task: dict[str, Any], told: Callable[[float], None]) -> dict[str, int]:
    from ..models.gguf import read_header
    from .imatrix import write_imatrix
    from .logits_llama_cpp import Evaluator
    from .watching import Watch

    base = Path(task["base"])
    experts = {
        one.name: one.shape[2] if len(one.shape) > 2 else 1
        for one in read_header(base).tensors
        if one.name.startswith("blk.") and one.name.endswith(".weight") and len(one.shape) > 1
    }
    sums = Sums(experts)
    watch = Watch(experts, sums.add)
    first = [] if task["bos"] is None else [task["bos"]]
    with Evaluator(base, _PIECE, watch=watch) as model:
        tokens = model.tokenize(task["text"])
        if len(tokens) < 2:
            raise RequestError("the text to calibrate with has less than two tokens", hint="give pages of text")
        step = _PIECE - len(first)
        pieces = [[*first, *tokens[place : place + step]] for place in range(0, len(tokens), step)]
        for number, piece in enumerate(pieces):
            model.evaluate(piece)
            watch.check()
            told((number + 1) / len(pieces))
    source = "edgelfm's own text" if task["own_text"] else "a text given to edgelfm"
    write_imatrix(Path(task["out"]), sums.found, source, len(pieces), _PIECE)
    counts = [count for name, (_, count) in sums.found.items() if experts[name] > 1 and "ffn_gate_exps" in name]
    return {
        "tokens": len(tokens),
        "experts": sum(map(len, counts)),
        "experts_unseen": sum(int((one == 0).sum()) for one in counts),
    }


if __name__ == "__main__":
    child.serve(_work)
