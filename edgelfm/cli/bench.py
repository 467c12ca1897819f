"""`edgelfm bench`: how fast a model runs here, beside other runtimes if asked for; and what changed since last time."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options
from .output import screen, side, write_json

if TYPE_CHECKING:
    from ..bench.protocol import Peers, Runner, Settings
    from ..bench.report import BenchReport
    from ..planning.plan import Plan

_CONTEXT_STEP = 1024  # tokens; a benchmark opens a context of such a multiple
_MEASURED = "What is measured"
_KEPT = "What is kept"


def bench(
    model: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL] | compare A.json B.json",
            help="A model as for `edgelfm chat`; or two saved benchmarks, to see what differs between them.",
            show_default=False,
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Less of everything, in some seconds.")] = False,
    depth: Annotated[
        list[int] | None,
        typer.Option(
            metavar="TOKENS",
            help="Context at which decode is timed; may be given several times. 512",
            rich_help_panel=_MEASURED,
            show_default=False,
        ),
    ] = None,
    prompt: Annotated[
        int | None,
        typer.Option(metavar="TOKENS", help="Length of the prompt. 512", rich_help_panel=_MEASURED, show_default=False),
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option(metavar="COUNT", help="Tokens written. 100", rich_help_panel=_MEASURED, show_default=False),
    ] = None,
    repetitions: Annotated[
        int | None,
        typer.Option(metavar="COUNT", help="Each in a fresh process. 5", rich_help_panel=_MEASURED, show_default=False),
    ] = None,
    sustained: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Also write for so long at a stretch, with heat and throttling.",
            rich_help_panel=_MEASURED,
            show_default=False,
        ),
    ] = None,
    peers: Annotated[
        bool,
        typer.Option(
            "--peers",
            help="Also every other installed runtime, on the same weights; 128 tokens of prompt, 48 written, 3 times.",
            rich_help_panel=_MEASURED,
        ),
    ] = False,
    patience: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Wait at most so long in all for a quiet and cool machine. 60",
            rich_help_panel=_MEASURED,
            show_default=False,
        ),
    ] = None,
    json: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Keep everything; `-` is stdout.", rich_help_panel=_KEPT, show_default=False),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A table to paste.", rich_help_panel=_KEPT, show_default=False),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A card with plots, in one file.", rich_help_panel=_KEPT, show_default=False),
    ] = None,
    context: options.Context = None,
    quantization: options.Quantization = None,
    backend: options.Backend = None,
    memory: options.Memory = None,
    profile: options.Profile = None,
    offline: options.Offline = False,
) -> None:
    """Measure how fast a model runs here.

    Prefill, decode, time to the first token, loading and memory; every repetition in a fresh process, on a machine that
    is quiet and cool. Ctrl-C ends it and shows what has been measured so far.
    """
    if model and model[0] == "compare":
        _compare(model[1:])
        return
    if model and len(model) > 1:
        raise typer.BadParameter(f"one model at a time, not {len(model)}")
    from ..bench import read_settings
    from ..units import round_up

    settings = read_settings(
        quick=quick, peers=peers, prompt=prompt, tokens=tokens, depths=depth, repetitions=repetitions,
        sustained=sustained, patience=patience,
    )  # fmt: skip
    _require_folders(json if json != "-" else None, markdown, html)
    plan = _plan(
        model[0] if model else None,
        context=max(context or 0, round_up(settings.context, _CONTEXT_STEP)),
        quantization=quantization,
        backend=backend,
        memory=memory,
        profile=profile,
        offline=offline or None,
    )
    report = _run(plan, settings, peers)
    if json != "-":
        side().print()
        screen().print(report)  # first, so that a full disk costs a file and not the figures
    _keep(report, json, markdown, html)
    if report.interrupted:
        raise KeyboardInterrupt
    if all(result.failure for result in report.results):
        raise typer.Exit(1)


def _plan(name: str | None, **wishes: Any) -> Plan:
    """What `edgelfm.load` would open, with the settings it would find: a first use is measured before it counts."""
    import edgelfm

    from ..models import store
    from ..planning import require
    from ..tuning.adopting import known
    from .opening import open_model, working

    with working("Planning"):
        plan = edgelfm.plan(name, **wishes)
        one = require(plan)
    if not known(plan, one):
        with open_model(name, **wishes) as lfm:
            return lfm.plan
    store.fetch(one.artifact, license=one.model.license, offline=wishes["offline"], progress=sys.stderr.isatty())
    return plan


def _run(plan: Plan, settings: Settings, with_peers: bool) -> BenchReport:
    from ..bench import run
    from ..bench.limits import main_memory
    from ..bench.own import child
    from ..models import store

    one = plan.chosen
    assert one is not None
    files = store.find(one.artifact)
    assert files is not None
    runners: list[Runner] = [child(one, files)]
    notes: list[str] = []
    if with_peers:
        others = _peers(plan)
        runners += others.runners
        notes += others.notes
    side().print(
        f"Measuring {one.model.name} {one.quantization} with {_counted(len(runners), 'runtime')}, "
        f"{_counted(settings.repetitions, 'repetition')} of everything. Ctrl-C shows what is done so far.",
        style="dim",
    )
    return run(
        runners,
        settings,
        host=plan.host,
        command=shlex.join(["edgelfm", *sys.argv[1:]]),
        bandwidth=main_memory(plan.host, one),
        progress=True,
        notes=notes,
    )


def _peers(plan: Plan) -> Peers:
    from ..bench import peers
    from ..models import store
    from .opening import working

    assert plan.chosen is not None
    files = store.find(plan.chosen.artifact)
    assert files is not None
    with working("Looking for other runtimes") as told:
        return peers.find(plan.chosen, files, plan.chosen.settings.context.value, told)


def _keep(report: BenchReport, json: str | None, markdown: Path | None, html: Path | None) -> None:
    """Write the files that were asked for."""
    from ..bench.card import report_html
    from ..bench.files import write_json as write_report
    from ..bench.markdown import report_markdown

    if json == "-":
        write_json(report.to_dict())
    elif json is not None:
        write_report(report, json)
    if markdown is not None:
        _write(markdown, report_markdown(report))
    if html is not None:
        _write(html, report_html(report))


def _write(path: Path, text: str) -> None:
    from ..atomic import write_atomically
    from ..errors import BenchFileError

    try:
        write_atomically(path, [text.encode("utf-8", "replace")])
    except OSError as error:
        raise BenchFileError(
            f"{path}: cannot be written: {error.strerror or error}", hint="name a file in a folder you may write to"
        ) from error


def _require_folders(*paths: str | Path | None) -> None:
    """Refuse a place that cannot be written to now, and not after minutes of measuring."""
    import os

    from ..errors import BenchFileError

    for path in (Path(path) for path in paths if path is not None):
        folder = path.absolute().parent
        if path.is_dir() or not os.access(folder, os.W_OK):
            why = "it is a folder" if path.is_dir() else f"{folder} takes no files"
            raise BenchFileError(f"{path} cannot be written: {why}", hint=f"name a file, as in ~/{path.name}")


def _compare(files: list[str]) -> None:
    from ..bench.compare import compare
    from ..bench.files import read_json

    if len(files) != 2:
        raise typer.BadParameter("compare takes two files, as in: edgelfm bench compare before.json after.json")
    comparison = compare(read_json(files[0]), read_json(files[1]))
    screen().print(comparison)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
