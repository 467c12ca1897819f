"""`edgelfm models`: the models there are, and one of them in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .model_card import data, download_bytes, on_disk, parameters, show
from .output import Column, write_json, write_line, write_table

if TYPE_CHECKING:
    from ..models.entry import ModelEntry

_COLUMNS = (
    Column("model", style="cyan"),
    Column("weights", right=True),
    Column("smallest", right=True),
    Column("context", right=True, least=100),
    Column("for", fixed=False),
    Column("here"),
)


def models(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Show this one in full.", show_default=False)
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Only models for this: chat, agent, reason, extract, rag, tools, vision, …")
    ] = None,
    all: Annotated[bool, typer.Option("--all", help="Deprecated ones too.")] = False,
    downloaded: Annotated[bool, typer.Option("--downloaded", help="Only what is on this disk.")] = False,
    as_json: options.Json = False,
) -> None:
    """List the models, or show one of them in full."""
    from ..models import catalog, names

    if name is not None:
        entry = names.resolve(name)
        if as_json:
            write_json(data(entry))
        else:
            show(entry)
        return
    if task is not None:
        _check_task(task)
    chosen = [
        entry
        for entry in catalog.load()
        if (all or downloaded or entry.status == "current")
        and (task is None or task in entry.tasks)
        and (not downloaded or any(on_disk(artifact) for artifact in entry.artifacts))
    ]
    if as_json:
        write_json({"models": [data(entry) for entry in chosen]})
    elif chosen:
        write_table(_COLUMNS, [_row(entry) for entry in chosen])
        write_line("edgelfm models NAME shows one in full, edgelfm plan says which suits this machine.", style="dim")
    else:
        write_line("No model of that kind is on this disk. edgelfm pull gets the one that suits this machine.")


def _row(entry: ModelEntry) -> tuple[str, ...]:
    from ..units import format_bytes

    sizes = [
        size
        for artifact in entry.artifacts
        if artifact.backend == "llama.cpp" and (size := download_bytes(entry, artifact))
    ]
    context = entry.architecture.context_supported if entry.architecture else 0
    return (
        entry.id + (" (deprecated)" if entry.status == "deprecated" else ""),
        parameters(entry).partition(",")[0],
        format_bytes(min(sizes)) if sizes else "?",
        f"{context}" if context else "?",
        ", ".join(entry.tasks) + (", always thinks" if entry.thinking else ""),
        ", ".join(artifact.quantization for artifact in entry.artifacts if on_disk(artifact)) or "-",
    )


def _check_task(task: str) -> None:
    from typing import get_args

    from ..errors import RequestError
    from ..models.entry import Task

    if task not in get_args(Task):
        raise RequestError(f"task is {task!r}", hint=f"use one of {', '.join(get_args(Task))}")
