"""The way from a folder to checked files, step by step. What a step does is in the other modules.

    read and judge the folder -> choose format and quantization -> make room -> write -> calibrate -> quantize
    -> compare -> name

Nothing has its final name before it was compared with the source, and nothing else is left behind, whatever happens.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..decision import Decision
from ..errors import BackendError, RequestError
from .progress import Converting, Meter
from .report import Agreement, Conversion, Converted, kl_text

if TYPE_CHECKING:
    from ..backends.adapter import Adapter
    from .checking import Reference, Text
    from .source import Source
    from .tokenizer import Tokenizer

MATRIX = ".imatrix"  # what the name of a computed importance matrix ends in: GGUF, but no model
SUSPECT = ".suspect"  # what the name of a file ends in that does not do what its source does


def convert(
    folder: str | Path,
    to: str | None = None,
    *,
    quantization: str | None = None,
    adapter: str | Path | None = None,
    imatrix: str | Path | None = None,
    calibrate: str | Path | None = None,
    out: str | Path | None = None,
    text: str | Path | None = None,
    progress: bool | Callable[[Converting], None] = True,
) -> Conversion:
    """Convert a model in Hugging Face's layout to what this machine runs best, and check the outcome.

    `folder` holds config.json, safetensors and a tokenizer.json of an LFM2, LFM2-MoE, Llama or Mistral model. `to` is
    "gguf", "mlx" or "onnx", `quantization` one name or several with commas: "Q4_0,Q8_0", "4bit", "int4"; what is left
    out, the planner chooses. `adapter` is a LoRA that is merged first, its folder or a repository of the Hub, `imatrix`
    an importance matrix for llama.cpp's quantizer. `calibrate` is a text that one is computed from, or a file with one,
    best of some 50,000 tokens like those the model will read; "sample" is a short text of our own. The matrix is kept
    beside the outcome, to be used again. `out` is a file, or a folder to put files in; without it they go beside
    `folder`, or here if that is in the Hub's cache. `text` is the text to compare over, or a file with one. `progress`
    shows a bar, or is called with a `Converting`.

    Every outcome is compared with its source before it gets its name. One that is far off is kept under a name that
    ends in `.suspect`, and raised as `BackendError`. Raises `ModelFileError` for a folder or adapter that cannot be
    converted, `RequestError`, `UnknownQuantization`, `BackendMissing`, `NoDiskSpace`.
    """
    from ..backends.adapter import Adapter
    from ..models.adapters import find_adapter
    from ..models.hub_cache import repo_of
    from . import texts
    from .choosing import choose, quantizations
    from .files import places
    from .source import read_source
    from .tokenizer import read_tokenizer
    from .tools import require_tools

    started = time.monotonic()
    source = read_source(Path(folder))
    merged = Adapter(find_adapter(adapter)) if adapter is not None else None
    if merged is not None and source.net.tied_embeddings:
        merged.require_untied()
    form, chosen = choose(source, to, quantization)
    names = quantizations(form.value, chosen.value)
    matrix = Path(imatrix).expanduser().resolve() if imatrix is not None else None
    require_tools(form.value, names, matrix, calibrate is not None)
    tokenizer = read_tokenizer(source.folder, source.config, source.net.name, source.net.vocabulary)
    stem = source.name + (f"-{merged.lora.name}" if merged else "")
    beside = Path.cwd() if repo_of(source.folder) else source.folder.parent  # the Hub's cache is no place for more
    goals = places(form.value, stem, beside, names, Path(out) if out is not None else None)
    planned = _calibration(calibrate, goals[0].parent / f"{stem}{MATRIX}")
    compared = texts.to_compare(text)
    work = _Work(source, merged, matrix, planned, form.value, dict(zip(names, goals, strict=True)), tokenizer, compared)
    with Meter(progress, steps=3 + 3 * len(names) + (planned is not None)) as meter:
        files = work.run(meter)
    return Conversion(
        source=source.folder,
        adapter=merged.lora if merged else None,
        format=form,
        quantization=Decision(",".join(names), chosen.reason, chosen.grade),
        files=tuple(files),
        imatrix=planned.place if planned else matrix,
        seconds=time.monotonic() - started,
        notes=tuple(dict.fromkeys(work.notes)),
    )


@dataclass(frozen=True, slots=True)
class _Calibration:
    """An importance matrix that is to be computed."""

    text: str
    own_text: bool  # and not one that somebody gave
    place: Path  # where it is kept


class _Work:
    """One conversion under way."""

    def __init__(
        self,
        source: Source,
        adapter: Adapter | None,
        imatrix: Path | None,
        calibration: _Calibration | None,
        form: str,
        goals: dict[str, Path],
        tokenizer: Tokenizer,
        text: str,
    ) -> None:
        self.source, self.adapter, self.imatrix, self.form = source, adapter, imatrix, form
        self.calibration = calibration
        self.goals, self.tokenizer, self.text = goals, tokenizer, text
        self.notes: list[str] = []

    def run(self, meter: Meter) -> list[Converted]:
        """Make, compare and name all of them."""
        from . import checking, files

        first = next(iter(self.goals.values()))
        text = checking.read_text(self.text, self.source, self.tokenizer)
        files.remove_leftovers(first.parent, first.name)
        files.require_room(first.parent, self._bytes(text))
        with files.workshop(first.parent, first.name) as shop:
            make = self._gguf if self.form == "gguf" else self._folders
            return make(shop, text, meter)

    def _bytes(self, text: Text | None) -> int:
        """Written on the way, all together."""
        from .checking import MOST_TOKENS
        from .choosing import weight_bytes

        base = self._base() if self.form == "gguf" else self.source.dtype
        made = sum(weight_bytes(self.source, name) for name in self.goals)
        between = (
            weight_bytes(self.source, base) if base not in self.goals and (self.form == "gguf" or self.adapter) else 0
        )
        words = self.source.net.vocabulary
        return made + between + 2 * (text.logit_bytes(words) if text else 4 * MOST_TOKENS * words)

    def _base(self) -> str:
        """What the file that is quantized is written as: as the source, or as it is computed with an adapter."""
        return "F32" if self.adapter else self.source.dtype

    def _gguf(self, shop: Path, text: Text | None, meter: Meter) -> list[Converted]:
        from . import checking, files
        from .gguf_file import write_gguf
        from .quantizing import FLOATS, quantize

        base_kind = self._base()
        base = shop / f"{base_kind}.gguf"
        write_gguf(
            base, self.source, self.tokenizer, base_kind, adapter=self.adapter, told=meter.step("writing the weights")
        )
        computed = self._calibrate(base, shop, meter)
        if text is None:
            tokens = checking.tokens_of(base, self.text, shop / "tokens")
            text = checking.cut(self.text, tokens, self.tokenizer)
        reference = self._reference(shop, text, meter) or checking.own_reference(
            base, base_kind, text, shop / "reference", meter.step("reading the check text in llama.cpp")
        )
        made = []
        for name in sorted(self.goals, key=lambda name: name == base_kind):  # the base itself goes last: others need it
            part = shop / f"{name}.gguf"
            if name in FLOATS and name != base_kind:
                told = meter.step(f"writing {name}")
                write_gguf(part, self.source, self.tokenizer, name, adapter=self.adapter, told=told)
            elif name != base_kind:
                quantize(base, part, name, computed or self.imatrix, meter.step(f"quantizing to {name}"))
            made.append(self._finished(name, part, "llama.cpp", text, reference, shop, meter))
        if computed is not None and self.calibration is not None:
            files.settle(computed, self.calibration.place)
        return sorted(made, key=lambda one: list(self.goals).index(one.quantization))

    def _calibrate(self, base: Path, shop: Path, meter: Meter) -> Path | None:
        """The importance matrix of `base`, None if none is to be computed."""
        from .calibrating import calibrate

        planned, place = self.calibration, shop / f"importances{MATRIX}"
        if planned is None:
            return None
        bos, told = self.tokenizer.special.get("bos"), meter.step("reading the text to calibrate with")
        seen = calibrate(base, planned.text, bos, place, told, own_text=planned.own_text)
        self.notes += seen.notes(planned.own_text)
        if planned.text == self.text:
            self.notes.append("it was compared over the text that it was calibrated with, which flatters it")
        return place

    def _folders(self, shop: Path, text: Text | None, meter: Meter) -> list[Converted]:
        from .builders import build_mlx, build_onnx
        from .merged import write_merged
        from .source import read_source

        assert text is not None, "these runtimes bring the package that cuts text"
        reference = self._reference(shop, text, meter)
        folder = self.source.folder
        if self.adapter is not None:
            folder = shop / self.source.name
            folder.mkdir()
            write_merged(folder, self.source, self.adapter, meter.step("merging the adapter"))
        if reference is None and self.adapter is not None:  # MLX can compute what is merged already
            self.source, self.adapter = read_source(folder), None
            reference = self._reference(shop, text, meter)
        made = []
        for name in self.goals:
            part = shop / f"made-{name}"
            meter.step(f"converting to {name}")
            if self.form == "mlx":
                build_mlx(folder, part, name, "fp16" if self.source.dtype == "F16" else "bf16")
            else:
                (shop / "scratch").mkdir(exist_ok=True)
                build_onnx(folder, part, name, self.source.name, shop / "scratch")
            made.append(self._finished(name, part, self.form, text, reference, shop, meter))
        return made

    def _reference(self, shop: Path, text: Text, meter: Meter) -> Reference | None:
        from .checking import independent_reference

        told = meter.step("reading the check text with the source")
        found, failed = independent_reference(self.source, text, self.adapter, self.form, shop / "reference", told)
        self.notes += failed
        return found

    def _finished(
        self, name: str, part: Path, runtime: str, text: Text, reference: Reference | None, shop: Path, meter: Meter
    ) -> Converted:
        """Compare, hash, and give it its name."""
        from . import checking, files
        from .choosing import least_bits

        found: Agreement | None = None
        goal = self.goals[name]
        if reference is not None:
            told = meter.step(f"checking {name}")
            found = checking.agreement(runtime, part, text, reference, shop / "logits", told)
            if checking.absurd(found, least_bits(name)):
                aside = goal.with_name(goal.name + SUSPECT)
                files.settle(part, aside, instead=True)
                raise BackendError(
                    f"{goal.name} does not do what its source does: the same token is most likely after "
                    f"{found.top1:.1%} of {found.tokens} tokens, KL {kl_text(found.kl)} nats against {found.reference}",
                    hint=f"it is kept as {aside}, to look at; convert again with --quantization Q8_0, or --text FILE",
                )
        sha256, size = files.digest(part, meter.step(f"hashing {name}"))
        files.settle(part, goal)
        return Converted(goal, name, size, sha256, found)


def _calibration(given: str | Path | None, place: Path) -> _Calibration | None:
    from . import texts

    if given is None:
        return None
    if place.exists():
        raise RequestError(f"{place} is there already", hint=f"use it: --imatrix {place}; or remove it")
    return _Calibration(texts.to_calibrate(given), texts.is_own(given), place)
