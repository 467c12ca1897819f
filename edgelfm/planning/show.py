"""A plan on screen and as plain data. Both say the same; neither decides anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..decision import Decision
from ..units import format_bytes
from .plan import Candidate, MemoryEstimate, Plan, SpeedEstimate

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

#: Names of the settings for people, in the order they are shown.
SETTINGS = {
    "context": "context",
    "batch": "batch",
    "micro_batch": "micro-batch",
    "kv_type": "KV type",
    "flash_attention": "flash attention",
    "mmap": "mmap",
    "threads": "threads",
    "threads_prefill": "threads, prefill",
    "gpu_layers": "GPU layers",
}
SHOWN_REJECTIONS = 8
BAR = 30  # characters for the largest part of the memory bill


def plan_dict(plan: Plan) -> dict[str, Any]:
    """Plain data for JSON. Sizes are bytes, speeds tokens per second."""
    return {
        "profile": {"id": plan.match.profile.id, "name": plan.match.profile.name, "reason": plan.match.reason},
        "request": {
            "model": plan.request.model.id if plan.request.model else None,
            "task": plan.request.task,
            "context": plan.request.context,
            "quantization": plan.request.quantization,
            "backend": plan.request.backend,
            "memory_bytes": plan.request.memory_bytes,
            "kv_type": plan.request.kv_type,
            "threads": plan.request.threads,
            "micro_batch": plan.request.micro_batch,
        },
        "budget": {
            "available_bytes": plan.budget.available_bytes,
            "reserve_bytes": plan.budget.reserve_bytes,
            "usable_bytes": plan.budget.usable_bytes,
            "gpu_bytes": plan.budget.gpu_bytes,
            "reason": plan.budget.reason,
        },
        "chosen": _candidate_dict(plan.chosen) if plan.chosen else None,
        "others": [_candidate_dict(one) for one in plan.candidates[1:]],
        "rejected": [
            {
                "model": one.model,
                "backend": one.backend,
                "quantization": one.quantization,
                "cause": one.cause,
                "reason": one.reason,
                "fix": one.fix,
                "short_bytes": one.short_bytes,
            }
            for one in plan.rejected
        ],
        "advice": list(plan.advice),
    }


def _candidate_dict(candidate: Candidate) -> dict[str, Any]:
    settings = {name: _decision_dict(getattr(candidate.settings, name)) for name in SETTINGS}
    return {
        "model": candidate.model.id,
        "name": candidate.model.name,
        "backend": candidate.backend,
        "quantization": candidate.quantization,
        "repo": candidate.artifact.repo,
        "reason": candidate.reason,
        "settings": settings,
        "memory": {
            "total_bytes": candidate.memory.total,
            "gpu_bytes": candidate.memory.on("gpu"),
            "parts": [
                {
                    "name": part.name,
                    "bytes": part.bytes,
                    "grade": part.grade,
                    "note": part.note,
                    "device": part.device,
                }
                for part in candidate.memory.parts
            ],
        },
        "decode": _speed_dict(candidate.decode),
        "prefill": _speed_dict(candidate.prefill),
        "references": [
            {
                "quantization": one.quantization,
                "runtime": one.runtime,
                "decode": one.decode,
                "prefill": one.prefill,
                "source": one.source,
            }
            for one in candidate.references
        ],
        "load_command": candidate.load_command,
    }


def _decision_dict(decision: Decision[Any]) -> dict[str, Any]:
    return {"value": decision.value, "reason": decision.reason, "grade": decision.grade}


def _speed_dict(speed: SpeedEstimate) -> dict[str, Any]:
    return {"low": speed.low, "high": speed.high, "grade": speed.grade, "reason": speed.reason}


def speed_text(speed: SpeedEstimate) -> str:
    """A range for people: `9–18 tokens/s`, or `unknown`."""
    if speed.low is None or speed.high is None:
        return "unknown"
    low, high = (f"{value:.1f}" if speed.low < 10 else f"{value:.0f}" for value in (speed.low, speed.high))
    return f"{low}–{high} tokens/s"


def plan_table(plan: Plan) -> RenderableType:
    """The whole plan: what was chosen and why, its memory bill, the rest in order, and what was turned down."""
    from rich.console import Group
    from rich.text import Text

    profile = plan.match.profile
    blocks: list[RenderableType] = [
        Text.assemble(("Machine  ", "bold"), profile.name, (f"  ({plan.match.reason})", "dim")),
        Text.assemble(
            ("Memory   ", "bold"),
            f"{format_bytes(plan.budget.usable_bytes)} to spend",
            (f": {plan.budget.reason}", "dim"),
        ),
    ]
    if plan.budget.gpu_bytes is not None:
        blocks.append(
            Text.assemble(("GPU      ", "bold"), f"{format_bytes(plan.budget.gpu_bytes)} of its own to spend")
        )
    if plan.chosen is None:
        blocks += [Text(), Text("Nothing can run under this request.", style="bold red")]
    else:
        blocks += _chosen(plan.chosen, plan)
    if len(plan.candidates) > 1:
        blocks += [Text(), _ranked(plan)]
    if plan.rejected:
        blocks += [Text(), _rejected(plan)]
    if plan.advice:
        blocks += [Text(), Text("Advice", style="bold"), *(Text(f"• {line}") for line in plan.advice)]
    return Group(*blocks)


def _chosen(candidate: Candidate, plan: Plan) -> list[RenderableType]:
    from rich.text import Text

    title = Text.assemble(
        ("Chosen   ", "bold"),
        (f"{candidate.model.name} {candidate.quantization}", "bold green"),
        f" on {candidate.backend}",
    )
    return [
        title,
        Text(f"         {candidate.reason}", style="dim"),
        Text(f"         {candidate.load_command}", style="cyan", overflow="fold"),
        Text(),
        _settings(candidate),
        Text(),
        _bill(candidate.memory, plan),
    ]


def _grid(*columns: tuple[str, dict[str, Any]], title: str = "") -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(
        box=SIMPLE_HEAD, show_edge=False, title=title or None, title_justify="left", title_style="bold", pad_edge=False
    )
    for header, options in columns:
        table.add_column(header, **options)
    return table


def _settings(candidate: Candidate) -> Table:
    table = _grid(("setting", {"no_wrap": True}), ("value", {"no_wrap": True}), ("why", {"ratio": 1}))
    for name, label in SETTINGS.items():
        decision: Decision[Any] = getattr(candidate.settings, name)
        value = {True: "on", False: "off"}.get(decision.value, decision.value) if _is_bool(decision) else decision.value
        table.add_row(label, str(value), decision.reason)
    table.add_row("decode", speed_text(candidate.decode), f"{candidate.decode.grade}: {candidate.decode.reason}")
    table.add_row("prefill", speed_text(candidate.prefill), f"{candidate.prefill.grade}: {candidate.prefill.reason}")
    for one in candidate.references:
        speeds = [
            f"{figure:g} tokens/s {name}"
            for name, figure in (("decode", one.decode), ("prefill", one.prefill))
            if figure
        ]
        table.add_row("published", one.quantization, f"{', '.join(speeds)} with {one.runtime}; {one.source}")
    return table


def _is_bool(decision: Decision[Any]) -> bool:
    return isinstance(decision.value, bool)


def _bill(memory: MemoryEstimate, plan: Plan) -> Table:
    table = _grid(
        ("memory", {"no_wrap": True}),
        ("", {"no_wrap": True, "justify": "right"}),
        ("", {"no_wrap": True}),
        ("", {"ratio": 1}),
    )
    parts = [part for part in memory.parts if part.bytes]
    largest = max((part.bytes for part in parts), default=1)
    for part in parts:
        where = "on the GPU. " if part.device == "gpu" else ""
        table.add_row(
            part.name, format_bytes(part.bytes), "#" * round(BAR * part.bytes / largest) or ".", where + part.note
        )
    host = memory.on("host")
    share = f"{host / plan.budget.usable_bytes:.0%} of what may be used" if plan.budget.usable_bytes else ""
    if memory.on("gpu"):
        table.add_row("total, GPU", format_bytes(memory.on("gpu")), "", "", style="bold")
    table.add_row("total", format_bytes(host), share, "", style="bold")
    return table


def _ranked(plan: Plan) -> Table:
    table = _grid(
        ("also fits", {"overflow": "fold"}),
        ("runs as", {"overflow": "fold"}),
        ("context", {"justify": "right"}),
        ("memory", {"justify": "right", "no_wrap": True}),
        ("decode", {"no_wrap": True}),
        ("why not first", {"ratio": 1}),
    )
    for one in plan.candidates[1:]:
        table.add_row(
            one.model.id,
            f"{one.quantization}, {one.backend}",
            str(one.settings.context.value),
            format_bytes(one.memory.total),
            speed_text(one.decode).replace(" tokens/s", "/s"),
            one.reason,
        )
    return table


def _rejected(plan: Plan) -> Table:
    shown = plan.rejected[:SHOWN_REJECTIONS]
    table = _grid(
        ("turned down", {"overflow": "fold"}),
        ("as", {"overflow": "fold"}),
        ("why", {"ratio": 1}),
        ("what would help", {"ratio": 1, "overflow": "fold"}),
    )
    for one in shown:
        way = ", ".join(word for word in (one.quantization, one.backend) if word)
        table.add_row(one.model, way, one.reason, one.fix)
    more = len(plan.rejected) - len(shown)
    if more:
        table.add_row(f"and {more} more", "", "", "")
    return table
