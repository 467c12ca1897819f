"""The ways that fit, as a list to choose from. See static/explorer.js for the page's side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from ..errors import PlanningError
from ..markup import badge, escape, facts, folded, sheet, small
from ..planning import require
from ..planning.html import bill_html, memory_bars, references_html, rejected_html, settings_html, speed_html
from ..planning.plan import Candidate, Plan
from ..planning.show import speed_text
from ..units import format_bytes

_STATIC = Path(__file__).with_name("static")


class Ranking(anywidget.AnyWidget):
    """Candidates, best first, each with its memory, and the chosen one in full."""

    _esm = _STATIC / "explorer.js"
    _css = sheet() + (_STATIC / "explorer.css").read_text(encoding="utf-8")
    #: What is on screen, as `told` makes it.
    told = traitlets.Dict().tag(sync=True)
    #: Place of the chosen candidate.
    selected = traitlets.Int(0).tag(sync=True)


def told(plan: Plan) -> dict[str, Any]:
    """A plan in the pieces that the page puts together. What is markup was escaped where it was made."""
    return {
        "summary": _summary(plan),
        "problem": _problem(plan),
        "candidates": [_candidate(one, plan) for one in plan.candidates],
        "below": _below(plan),
    }


def _summary(plan: Plan) -> str:
    count, budget = len(plan.candidates), plan.budget
    ways = "Nothing fits" if not count else "1 way fits" if count == 1 else f"{count} ways fit"
    room = f"{format_bytes(budget.usable_bytes)} to spend on {plan.match.profile.name}"
    return f"{ways}: {room} ({budget.reason})."


def _problem(plan: Plan) -> str:
    """Why nothing can run, and the exact next thing to do."""
    try:
        require(plan)
    except PlanningError as error:
        return f"<p><b>{escape(error.message)}</b></p><p>What would help: <b>{escape(error.hint)}</b></p>"
    return ""


def _candidate(one: Candidate, plan: Plan) -> dict[str, str]:
    way, context = f"{one.quantization} on {one.backend}", f"context {one.settings.context.value}"
    speed = speed_text(one.decode)
    grade = badge(one.decode.grade) if speed != "unknown" else "<small>speed</small>"
    rows = [
        ("why here", escape(one.reason)),
        ("decode", speed_html(one.decode)),
        ("prefill", speed_html(one.prefill)),
        ("weights", escape(one.artifact.repo) + small(f"{one.model.license.name}: {one.model.license.summary}")),
    ]
    return {
        "title": f"{one.model.name} {one.quantization}",
        "label": f"{one.model.name}, {way}, {context}, {format_bytes(one.memory.total)}, {speed}",
        "name": f"<b>{escape(one.model.name)}</b>{small(way)}{small(context)}",
        "memory": memory_bars(one.memory, plan.budget),
        "speed": f"{escape(speed)}<br>{grade}",
        "command": one.load_command,
        "facts": facts(rows),
        "bill": bill_html(one.memory, plan.budget),
        "settings": settings_html(one.settings) + references_html(one),
    }


def _below(plan: Plan) -> str:
    count = len(plan.rejected)
    ways = "1 way was" if count == 1 else f"{count} ways were"
    lines = "".join(f"<li>{escape(line)}</li>" for line in plan.advice)
    parts = [folded(f"{ways} turned down, and what would help", rejected_html(plan.rejected))] if count else []
    return "".join([*parts, folded("Advice for this machine", f"<ul>{lines}</ul>") if lines else ""])
