"""The verbs put together, and the command line read."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from . import bench, chat, convert, demo, doctor, models, plan, profiles, pull, tune
from .failures import MISUSED, report
from .output import decorated

_DESCRIPTION = """Run Liquid AI's small foundation models on the machine in front of you.

Start with `edgelfm doctor` to see this machine, `edgelfm plan` to see what would run on it and why,
and `edgelfm chat` to talk to it. `edgelfm demo` needs no download from a model hub.
"""

#: In the order in which people need them.
_VERBS = (
    ("doctor", doctor.doctor),
    ("plan", plan.plan),
    ("pull", pull.pull),
    ("chat", chat.chat),
    ("demo", demo.demo),
    ("bench", bench.bench),
    ("tune", tune.tune),
    ("convert", convert.convert),
    ("models", models.models),
    ("profiles", profiles.profiles),
)


def build() -> typer.Typer:
    """The application. Its help has frames in a terminal and none in a pipe."""
    app = typer.Typer(
        name="edgelfm",
        help=_DESCRIPTION,
        add_completion=False,
        invoke_without_command=True,
        rich_markup_mode="markdown" if decorated() else None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_edgelfm)
    for name, verb in _VERBS:
        app.command(name)(verb)
    return app


def run(arguments: Sequence[str] | None) -> int:
    """Read `arguments` (those of the process if None), do what they say, return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # an ASCII terminal shows "?", and the answer goes on
    if not decorated():
        os.environ.setdefault("COLUMNS", "100")  # of help texts, which otherwise fold at 80 in a pipe
    # The errors of the option parser share a base that Typer does not export under a name of its own.
    usage_error: type[Exception] = typer.BadParameter.__mro__[2]
    try:
        status = typer.main.get_command(build())(args=arguments, prog_name="edgelfm", standalone_mode=False)
    except usage_error as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "edgelfm"
        said = error.format_message() if hasattr(error, "format_message") else str(error)
        return report(said, f"{path} --help", status=MISUSED)
    except typer.Abort as abort:
        raise KeyboardInterrupt from abort
    return status if isinstance(status, int) else 0


def _edgelfm(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False,
) -> None:
    if version:
        from .. import __version__

        print(f"edgelfm {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
