"""`edgelfm profiles`: the hardware profiles there are, the one that matches, and a check of your own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .output import Column, write_facts, write_json, write_line, write_table

if TYPE_CHECKING:
    from ..hardware.profiles import Profile, SpeedReference, ThreadPolicy

_COLUMNS = (
    Column("profile", style="cyan"),
    Column("machine", fixed=False),
    Column("reserve", right=True),
    Column("first", least=100),
    Column("here"),
)


def profiles(
    id: Annotated[
        str | None, typer.Argument(metavar="ID", help="Show this one, or a YAML file, in full.", show_default=False)
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Check a YAML file, or every one of a folder, and say where it is wrong."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """List the hardware profiles, show one, or check your own."""
    import edgelfm

    from ..hardware import profiles as room
    from ..hardware.profile_files import user_folder

    if check is not None:
        _check(check, as_json)
        return
    if id is not None:
        # A machine without facts leaves the profile as it is written.
        one = room.load().get(id) or room.match(edgelfm.Host(), override=id).profile
        if as_json:
            write_json(one.to_dict())
        else:
            _show(one)
        return
    known = room.load().values()
    match = room.match(edgelfm.inspect(bandwidth=False))
    if as_json:
        matched = {"id": match.profile.id, "reason": match.reason}
        write_json({"matched": matched, "profiles": [one.to_dict() for one in known]})
        return
    write_table(_COLUMNS, [_row(one, here=one.id == match.profile.id) for one in known])
    write_line(f"* {match.profile.id}: {match.reason}", style="dim")
    write_line(f"Your own go into {user_folder()} and come before these.", style="dim")


def _check(path: Path, as_json: bool) -> None:
    from ..errors import ProfileError
    from ..hardware.profiles import validate

    problems = validate(path)
    if as_json:
        told = [
            {"file": one.file, "line": one.line, "key": one.key, "text": one.message, "fix": one.fix}
            for one in problems
        ]
        write_json({"valid": not problems, "problems": told})
    elif not problems:
        write_line(f"{path} is valid.")
    if problems:
        first = problems[0]
        raise ProfileError(
            "\n".join(str(one) for one in problems), hint=first.fix or f"correct {first.file} at line {first.line}"
        )


def _row(one: Profile, *, here: bool) -> tuple[str, ...]:
    from ..units import format_bytes

    return (one.id, one.name, format_bytes(one.reserve_bytes), one.backends[0], "*" if here else "-")


def _show(one: Profile) -> None:
    from ..units import format_bytes

    bandwidth = one.bandwidth_bytes_per_second
    write_facts(
        [
            ("profile", one.id),
            ("machine", one.name),
            ("matches", one.describes),
            ("file", one.path),
            ("reserve", format_bytes(one.reserve_bytes)),
            ("backends", ", ".join(one.backends)),
            ("quantizations", ", ".join(one.quantizations)),
            ("threads", _threads(one.threads)),
            ("bandwidth", f"{bandwidth / 1e9:.1f} GB/s; {one.bandwidth_source}" if bandwidth else ""),
            *(("published", _published(reference)) for reference in one.references),
            *(("note", note) for note in one.notes),
        ]
    )


def _threads(policy: ThreadPolicy) -> str:
    most = f", at most {policy.maximum}" if policy.maximum else ""
    return f"{policy.cores} cores{most}" + (f": {policy.reason}" if policy.reason else "")


def _published(one: SpeedReference) -> str:
    speeds = [
        f"{name} {speed:g} tokens/s" for name, speed in (("decode", one.decode), ("prefill", one.prefill)) if speed
    ]
    return f"{one.model} {one.quantization} with {one.runtime}: {', '.join(speeds)}; {one.source}"
