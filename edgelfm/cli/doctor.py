"""`edgelfm doctor`: the machine, its profile, what is installed, what is missing, what to mind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .output import decorated, screen, write_columns, write_json, write_line

if TYPE_CHECKING:
    from rich.text import Text

    from ..hardware.host import Host
    from ..hardware.profiles import Match
    from .findings import Finding


def doctor(
    save: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the machine to a file, for `edgelfm plan --host FILE` elsewhere."),
    ] = None,
    profile: options.Profile = None,
    as_json: options.Json = False,
) -> None:
    """Say what this machine is, what is installed and what is missing.

    Missing things come with the command that installs them.
    """
    import edgelfm

    from ..hardware import profiles
    from .findings import findings
    from .opening import working

    with working("Looking at this machine"):
        host = edgelfm.inspect()
        match = profiles.match(host, override=profile)
        made = edgelfm.plan(host=host, profile=profile)
    found = findings(host, match.profile, made)
    if save is not None:
        _save(host, save)
    if as_json:
        write_json(_data(host, match, found))
    elif decorated():
        _draw(host, match, found)
    else:
        _list(host, match, found)
    if save is not None and not as_json:
        write_line(f"Saved to {save}. On another machine: edgelfm plan --host {save.name}")


def _save(host: Host, path: Path) -> None:
    from ..errors import RequestError

    try:
        path.write_text(host.to_json() + "\n", encoding="utf-8")
    except OSError as error:
        raise RequestError(
            f"cannot write {path}: {error.strerror}", hint="edgelfm doctor --save ~/host.json"
        ) from error


def _data(host: Host, match: Match, found: tuple[Finding, ...]) -> dict[str, object]:
    return {
        "host": json.loads(host.to_json()),
        "profile": {
            "id": match.profile.id,
            "name": match.profile.name,
            "reason": match.reason,
            "path": match.profile.path,
            "notes": list(match.profile.notes),
        },
        "findings": [{"level": one.level, "text": one.text, "fix": one.fix} for one in found],
    }


def _draw(host: Host, match: Match, found: tuple[Finding, ...]) -> None:
    from rich.table import Table
    from rich.text import Text

    from ..hardware.show import host_table

    facts = host_table(host)
    facts.add_row("profile", Text.assemble(match.profile.name, (f"  {match.profile.id}: {match.reason}", "dim")))
    for note in match.profile.notes:
        facts.add_row("", Text(note, style="dim"))
    screen().print(facts)
    if not found:
        screen().print(Text("\nNothing stands in the way.", style="green"))
        return
    colours = {"problem": "bold red", "warning": "yellow", "note": "dim"}
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in found:
        table.add_row(Text(one.level, style=colours[one.level]), _told(one))
    screen().print(Text("\nTo mind", style="bold"))
    screen().print(table)


def _told(one: Finding) -> Text:
    """A finding with what to type on a line of its own."""
    from rich.text import Text

    return Text.assemble(one.text, *((("\n" + one.fix, "cyan"),) if one.fix else ()))


def _list(host: Host, match: Match, found: tuple[Finding, ...]) -> None:
    from ..hardware.show import host_lines

    rows = [(section, text) for section, text, _ in host_lines(host)]
    rows.append(("profile", f"{match.profile.id}: {match.reason}"))
    rows += [("profile", note) for note in match.profile.notes]
    rows += [(one.level, one.text + (f": {one.fix}" if one.fix else "")) for one in found]
    write_columns(rows)
