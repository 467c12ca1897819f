"""`edgelfm plan`: what would run here or on another machine, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .output import decorated, screen, write_columns, write_json

if TYPE_CHECKING:
    from ..planning.plan import Plan


def plan(
    model: options.ModelName = None,
    task: options.Task = "chat",
    context: options.Context = None,
    quantization: options.Quantization = None,
    backend: options.Backend = None,
    memory: options.Memory = None,
    adapter: options.Adapter = None,
    profile: options.Profile = None,
    host: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Plan for another machine, saved there by `edgelfm doctor --save FILE`."),
    ] = None,
    offline: options.Offline = False,
    as_json: options.Json = False,
) -> None:
    """Say what would run here, why, and what it would cost.

    Downloads and loads nothing. The exit status is 1 if nothing can run.
    """
    import edgelfm

    from ..planning import require
    from .opening import working

    with working("Planning"):
        made = edgelfm.plan(
            model,
            task=task,  # type: ignore[arg-type]  # checked there, with a hint
            context=context,
            quantization=quantization,
            backend=backend,
            memory=memory,
            adapter=adapter,
            profile=profile,
            host=host,
            offline=offline or None,
        )
    if as_json:
        write_json(made.to_dict())
    elif decorated():
        screen().print(made)
    else:
        write_columns(_lines(made))
    require(made)


def _lines(made: Plan) -> list[tuple[str, ...]]:
    """The plan with one fact a line, the kind of fact first, for grep and awk."""
    from ..planning.show import SETTINGS, reason_text, setting_text, speed_text
    from ..units import format_bytes

    lines: list[tuple[str, ...]] = [
        ("profile", made.match.profile.id, made.match.reason),
        ("budget", format_bytes(made.budget.usable_bytes), made.budget.reason),
    ]
    if (one := made.chosen) is not None:
        lines.append(("chosen", one.model.id, f"{one.quantization} on {one.backend}: {one.reason}"))
        lines.append(("load", one.model.id, one.load_command))
        for field, decision in one.settings.decisions().items():
            lines.append(("setting", f"{SETTINGS[field]}={setting_text(field, decision.value)}", reason_text(decision)))
        lines += [
            ("memory", f"{part.name}={format_bytes(part.bytes)}", part.note) for part in one.memory.parts if part.bytes
        ]
        lines.append(("memory", f"total={format_bytes(one.memory.total)}", "peak of the whole process"))
        lines.append(("speed", f"decode={speed_text(one.decode)}", f"{one.decode.grade}: {one.decode.reason}"))
        lines.append(("speed", f"prefill={speed_text(one.prefill)}", f"{one.prefill.grade}: {one.prefill.reason}"))
    for other in made.candidates[1:]:
        lines.append(
            (
                "other",
                other.model.id,
                f"{other.quantization} on {other.backend}, {format_bytes(other.memory.total)}: {other.reason}",
            )
        )
    for no in made.rejected:
        lines.append(("rejected", no.model, f"{no.quantization} on {no.backend}: {no.reason}; {no.fix}"))
    lines += [("advice", "", text) for text in made.advice]
    return lines
