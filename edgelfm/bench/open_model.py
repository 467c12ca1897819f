"""The benchmark on a model that somebody has open: in this process, and without disturbing their conversations."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..backends.base import Session
from ..errors import RequestError
from ..hardware.host import Host
from .limits import main_memory
from .own import OwnRunner, sha256_of
from .progress import Show
from .protocol import Settings
from .report import BenchReport
from .run import run

if TYPE_CHECKING:
    from ..planning.plan import Candidate

_NOTE = "measured in a process that was running already: its peak of memory is that of everything in it"


def bench(
    session: Session, candidate: Candidate, host: Host, settings: Settings, *, progress: bool | Show = False
) -> BenchReport:
    """Measure `session`, which was opened as `candidate` says. See `Model.bench`."""
    from ..models import store

    if settings.context > session.context:
        raise RequestError(
            f"this benchmark needs a context of {settings.context} tokens, and the model was opened with "
            f"{session.context}",
            hint=f"load with context={settings.context}, or ask for less depth",
        )
    session.tokenize("")  # raises `SessionClosed` here, where a failure is not yet a part of a report
    files = store.find(candidate.artifact) or {}
    sha256 = sha256_of(files["weights"]) if "weights" in files else ""
    report = run(
        [OwnRunner(candidate, files, sha256, session=session)],
        settings,
        host=host,
        command=f"{candidate.load_command}.bench({_arguments(settings)})",
        bandwidth=main_memory(host, candidate),
        progress=progress,
        notes=[_NOTE],
    )
    return replace(report, interleaved=False)


def _arguments(settings: Settings) -> str:
    usual = Settings()
    names = ("prompt", "tokens", "depths", "repetitions", "sustained")
    return ", ".join(f"{name}={value}" for name in names if (value := getattr(settings, name)) != getattr(usual, name))
