"""`edgelfm convert`: a fine-tune as what this machine runs best, compared with its source."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .output import Column, write_facts, write_json, write_line, write_table

if TYPE_CHECKING:
    from ..conversion import Conversion

_OUTCOME = "What comes out"


def convert(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A model as transformers saves it.", show_default=False)
    ],
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="FORMAT", help="gguf, mlx or onnx.", rich_help_panel=_OUTCOME),
    ] = None,
    quantization: Annotated[
        str | None,
        typer.Option(
            "--quantization", "-q", metavar="NAMES", help="Q4_0, or several: Q4_0,Q8_0.", rich_help_panel=_OUTCOME
        ),
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="A LoRA to merge first: a folder of PEFT or mlx-lm, a repository."),
    ] = None,
    imatrix: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An importance matrix for llama.cpp's quantizer.")
    ] = None,
    calibrate: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A text like those the model will read: the importance matrix is computed from it, and kept. "
            "- is standard input, sample a short text of our own.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            help="A file, or a folder for it; else beside FOLDER, or here if that is in the Hub's cache.",
            rich_help_panel=_OUTCOME,
        ),
    ] = None,
    text: Annotated[Path | None, typer.Option(metavar="FILE", help="A text to compare over.")] = None,
    as_json: options.Json = False,
) -> None:
    """Convert a fine-tuned model for this machine, and check it.

    From the folder of an LFM2, LFM2-MoE, Llama or Mistral model, with or without a LoRA adapter to merge, to GGUF, MLX
    or ONNX. What is left open is chosen for this machine. The outcome reads a text beside its source, and how often
    both expect the same next token is shown.
    """
    import edgelfm

    with _tidy_at_the_end():
        made = edgelfm.convert(
            folder, to, quantization=quantization, adapter=adapter, imatrix=imatrix, calibrate=_text(calibrate),
            out=out, text=text, progress=sys.stderr.isatty(),
        )  # fmt: skip
    if as_json:
        write_json(made.data())
    else:
        _write(made)


@contextlib.contextmanager
def _tidy_at_the_end() -> Iterator[None]:
    """A terminal that is closed, or a `kill`, ends it as Ctrl-C does: with nothing left behind."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    taken = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]  # and not with nohup
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _text(given: str | None) -> str | Path | None:
    """Files by their names only: a wrong name is no text."""
    from ..conversion.texts import OWN

    if given == "-":
        return sys.stdin.read()
    return given if given in (None, OWN) else Path(given)


def _write(made: Conversion) -> None:
    from ..conversion.report import kl_text
    from ..units import format_bytes, format_seconds

    columns = [
        Column("file", fixed=False), Column("size", right=True), Column("top-1", right=True),
        Column("KL, nats", right=True), Column("sha256", fixed=False, least=110),
    ]  # fmt: skip
    rows = []
    for one in made.files:
        found = one.agreement
        figures = (f"{found.top1:.1%}", kl_text(found.kl)) if found else ("not checked", "-")
        rows.append((one.path.name, format_bytes(one.bytes), *figures, one.sha256))
    write_table(columns, rows)
    write_line()
    compared = made.agreement
    write_facts([
        ("in", str(made.path.parent)),
        ("source", str(made.source)),
        ("adapter", made.adapter.where if made.adapter else ""),
        ("format", str(made.format)),
        ("quantization", str(made.quantization)),
        ("importances", str(made.imatrix or "")),
        ("compared with", f"{compared.reference}, over {compared.tokens} tokens" if compared else ""),
        *(("note", note) for note in made.notes),
        ("took", format_seconds(made.seconds)),
        ("next", made.next_command),
    ])  # fmt: skip
