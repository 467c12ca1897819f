"""Does the converted model still think what its source thinks? Both read a text, and every next token is compared.

The source is computed by transformers where it is installed, else by MLX, else by llama.cpp from the file before it was
quantized; the last one would share a mistake in the writing of that file, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backends.adapter import Adapter
from ..backends.room import room_for
from ..errors import BackendError, BackendMissing, EdgelfmError, RequestError
from ..models.tensors import parameters
from . import child
from .report import Agreement
from .source import Source
from .tokenizer import Tokenizer

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

MOST_TOKENS = 1024  # of a text that are compared; the figures hardly move beyond
_PIECE = 256  # tokens evaluated together
_ROWS = 64  # compared at once
#: With so many bits a weight, agreement below this share at a divergence above so many nats is broken, and not only
#: coarse. Nearly even odds, as those of random weights, change places at little divergence.
_ABSURD = ((8, 0.5, 0.0), (4, 0.15, 1.0))

Told = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Text:
    """The text of a check, in tokens of the source."""

    text: str
    tokens: tuple[int, ...]  # without BOS
    pieces: tuple[tuple[int, ...], ...]  # BOS first where there is one

    @property
    def count(self) -> int:
        """Tokens evaluated."""
        return sum(map(len, self.pieces))

    def logit_bytes(self, vocabulary: int) -> int:
        """Of one file of logits."""
        return 4 * self.count * vocabulary


@dataclass(frozen=True, slots=True)
class Reference:
    """The source's logits."""

    file: Path
    vocabulary: int
    computed_by: str
    independent: bool  # by another runtime than that of the converted model


def read_text(text: str, source: Source, tokenizer: Tokenizer) -> Text | None:
    """Cut `text` with the folder's tokenizer. None where the package that reads it is not installed."""
    if find_spec("tokenizers") is None:
        return None
    from ..backends.vocabulary import Vocabulary

    return cut(text, Vocabulary(source.folder, source.config).tokenize(text), tokenizer)


def cut(text: str, tokens: list[int], tokenizer: Tokenizer) -> Text:
    """`text`, which is `tokens`, in pieces. Raises `RequestError` where there is next to nothing to compare."""
    if len(tokens) < 2:
        raise RequestError("the text to compare over has less than two tokens", hint="give a page of text, or none")
    bos = tokenizer.special.get("bos")
    first = () if bos is None else (bos,)
    step = _PIECE - len(first)
    kept = tokens[: MOST_TOKENS - len(first) * -(-MOST_TOKENS // _PIECE)]
    pieces = tuple((*first, *kept[i : i + step]) for i in range(0, len(kept), step))
    return Text(text, tuple(tokens), pieces)


def independent_reference(
    source: Source, text: Text, adapter: Adapter | None, form: str, out: Path, told: Told
) -> tuple[Reference | None, list[str]]:
    """The source in transformers or MLX, None where neither is installed or could do it; and what failed."""
    failed = []
    count = parameters(source.net)
    attempts: list[tuple[str, str]] = []
    if find_spec("torch") and find_spec("transformers"):
        attempts += [("transformers", kind) for kind, size in (("f32", 4), ("bf16", 2)) if room_for(size * count)][:1]
    if find_spec("mlx") and find_spec("mlx_lm") and adapter is None:
        attempts.append(("mlx", "f32"))
    for runtime, kind in attempts:
        try:
            told_adapter = str(adapter.folder) if adapter else None
            answer = _logits(runtime, source.folder, text, out, told, dtype=kind, adapter=told_adapter)
        except EdgelfmError as error:  # too old for this network, too little memory, broken: the next one
            failed.append(f"the source could not be computed by every runtime: {error.message}")
            continue
        return Reference(out, answer["vocabulary"], answer["computed_by"], runtime != form), failed
    return None, failed


def own_reference(gguf: Path, kind: str, text: Text, out: Path, told: Told) -> Reference:
    """The file before it was quantized, in llama.cpp. Raises `BackendError`."""
    answer = _logits("llama.cpp", gguf, text, out, told)
    _require_same_tokens(answer["tokens"], text)
    return Reference(
        out, answer["vocabulary"], f"its own {kind} file in llama.cpp, which is no independent check", False
    )


def agreement(runtime: str, path: Path, text: Text, reference: Reference, scratch: Path, told: Told) -> Agreement:
    """Run the converted model and compare. Raises `BackendError`."""
    answer = _logits(runtime, path, text, scratch, told)
    try:
        if runtime == "llama.cpp":
            _require_same_tokens(answer["tokens"], text)
        top1, kl = compare(reference.file, reference.vocabulary, scratch, answer["vocabulary"])
    finally:
        scratch.unlink(missing_ok=True)
    return Agreement(top1, kl, text.count, reference.computed_by, reference.independent)


def compare(source: Path, width: int, converted: Path, other_width: int) -> tuple[float, float]:
    """Share of rows with the same largest logit, and the mean divergence in nats, of two files of f32 logits.

    A row ends with the shorter of the two vocabularies: some runtimes add words that do not exist.
    """
    import numpy as np

    ours = np.memmap(source, np.float32, "r").reshape(-1, width)
    theirs = np.memmap(converted, np.float32, "r").reshape(-1, other_width)
    words, same, total = min(width, other_width), 0, 0.0
    for first in range(0, len(ours), _ROWS):
        p = _log_probabilities(ours[first : first + _ROWS, :words])
        q = _log_probabilities(theirs[first : first + _ROWS, :words])
        same += int((p.argmax(-1) == q.argmax(-1)).sum())
        with np.errstate(invalid="ignore"):  # of what is infinite: NaN, which `absurd` sees
            total += float((np.exp(p) * (p - q)).sum())
    return same / len(ours), total / len(ours)


def absurd(one: Agreement, bits: int) -> bool:
    """Whether a model of so many bits a weight agrees so badly that it must be broken."""
    share, nats = next(((share, nats) for width, share, nats in _ABSURD if bits >= width), (0.0, 0.0))
    return one.kl != one.kl or (one.top1 < share and one.kl > nats)


def tokens_of(gguf: Path, text: str, scratch: Path) -> list[int]:
    """`text` cut by llama.cpp. Raises `BackendError`."""
    answer = _logits("llama.cpp", gguf, Text(text, (), ()), scratch, lambda _: None)
    return list(answer["tokens"])


def _logits(
    runtime: str, path: Path, text: Text, out: Path, told: Told, *, dtype: str = "", adapter: str | None = None
) -> dict[str, Any]:
    task = {
        "runtime": runtime, "path": str(path), "text": text.text, "pieces": text.pieces, "out": str(out),
        "dtype": dtype, "adapter": adapter,
    }  # fmt: skip
    answer: dict[str, Any] = child.run("edgelfm.conversion.logits", task, told, runtime)
    return answer


def _require_same_tokens(found: list[int], text: Text) -> None:
    if tuple(found) == text.tokens:
        return
    where = next((i for i, (a, b) in enumerate(zip(found, text.tokens, strict=False)) if a != b), len(found))
    raise BackendError(
        f"llama.cpp cuts the text of the check into other tokens than the folder's tokenizer, from token {where} on",
        hint="its tokenizer.json has rules that GGUF has no name for; convert to another format: --to onnx",
    )


def _log_probabilities(logits: Array) -> Array:
    import numpy as np

    wide = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):
        wide -= wide.max(-1, keepdims=True)
    normal: Array = wide - np.log(np.exp(wide).sum(-1, keepdims=True))
    return normal


def require_runtime(name: str, *modules: str) -> None:
    """Raise `BackendMissing` unless the modules can be imported."""
    for module in modules:
        if find_spec(module) is None:
            raise BackendMissing(f"{module.replace('_', '-')} is not installed", hint=f"pip install 'edgelfm[{name}]'")
