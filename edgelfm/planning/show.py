"""A plan on screen, tidy from 80 columns on. It shows what `plain` writes as data; neither decides anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..decision import Decision
from ..units import format_bytes
from .plan import Budget, Candidate, MemoryEstimate, Plan, Settings, SpeedEstimate

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

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
    "state_bytes": "states kept",
    "device": "device",
    "dtype": "dtype",
    "providers": "providers",
}
SHOWN_REJECTIONS = 8
BAR = 20  # characters for the largest part of the memory bill
LONGEST_NAME = 24  # characters of a model's id that are never folded


def speed_text(speed: SpeedEstimate) -> str:
    """A range for people: `9.7–18.2 tokens/s`, or `unknown`."""
    if speed.low is None or speed.high is None:
        return "unknown"
    low, high = (f"{value:.1f}" if speed.low < 10 else f"{value:.0f}" for value in (speed.low, speed.high))
    return f"{low}–{high} tokens/s"


def setting_text(name: str, value: object) -> str:
    """The value of a setting for people: `on`, `512`, `256 MiB`."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return format_bytes(value) if name == "state_bytes" and isinstance(value, int) else str(value)


def reason_text(decision: Decision[Any]) -> str:
    """The reason, and before it that it was measured where it was."""
    if decision.grade == "calibrated" or (decision.grade == "measured" and decision.reason != "asked for"):
        return f"{decision.grade}: {decision.reason}"
    return decision.reason


def plan_table(plan: Plan) -> RenderableType:
    """The whole plan: what was chosen and why, its memory bill, the rest in order, and what was turned down."""
    from rich.console import Group
    from rich.text import Text

    blocks: list[RenderableType] = [_head(plan)]
    if plan.chosen is not None:
        blocks += [Text(), _settings(plan.chosen), Text(), bill_table(plan.chosen.memory, plan.budget)]
    if len(plan.candidates) > 1:
        blocks += [Text(), _ranked(plan, plan.candidates[0])]
    if plan.rejected:
        blocks += [Text(), _rejected(plan)]
    if plan.advice:
        blocks += [Text(), Text("Advice", style="bold"), *(Text(f"• {line}") for line in plan.advice)]
    return Group(*blocks)


def candidate_table(candidate: Candidate) -> RenderableType:
    """One candidate by itself: its settings and its memory bill."""
    from rich.console import Group
    from rich.text import Text

    name = (f"{candidate.model.name} {candidate.quantization}", "bold")
    head = Text.assemble(name, f" on {candidate.backend}: {candidate.reason}")
    command = Text(candidate.load_command, style="cyan")
    return Group(head, command, Text(), _settings(candidate), Text(), bill_table(candidate.memory, None))


def _head(plan: Plan) -> Table:
    from rich.table import Table
    from rich.text import Text

    head = Table.grid(padding=(0, 2))
    head.add_column(style="bold", no_wrap=True)
    head.add_column(overflow="fold")
    budget, chosen = plan.budget, plan.chosen
    head.add_row("Machine", Text.assemble(plan.match.profile.name, (f" ({plan.match.reason})", "dim")))
    head.add_row(
        "Memory", Text.assemble(f"{format_bytes(budget.usable_bytes)} to spend", (f": {budget.reason}", "dim"))
    )
    if budget.gpu_bytes is not None:
        head.add_row("GPU", f"{format_bytes(budget.gpu_bytes)} of its own to spend")
    if chosen is None:
        head.add_row("Chosen", Text("nothing can run under this request", style="bold red"))
        return head
    name = (f"{chosen.model.name} {chosen.quantization}", "bold green")
    head.add_row("Chosen", Text.assemble(name, f" on {chosen.backend}"))
    head.add_row("", Text(chosen.reason, style="dim"))
    head.add_row("", Text(chosen.load_command, style="cyan"))
    return head


def _grid(*columns: tuple[str, dict[str, Any]]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for header, options in columns:
        table.add_column(header, **options)
    return table


def settings_table(settings: Settings) -> Table:
    """Every setting with its value and the reason."""
    table = _grid(("setting", {"no_wrap": True}), ("value", {"no_wrap": True}), ("why", {"ratio": 1}))
    for name, decision in settings.decisions().items():
        table.add_row(SETTINGS[name], setting_text(name, decision.value), _text(reason_text(decision)))
    return table


def _settings(candidate: Candidate) -> Table:
    table = settings_table(candidate.settings)
    for label, speed in (("decode", candidate.decode), ("prefill", candidate.prefill)):
        why = f"{speed.grade}: {speed.reason}" if speed.low else speed.reason
        table.add_row(label, speed_text(speed), _text(why))
    for one in candidate.references:
        figures = ((one.decode, "decode"), (one.prefill, "prefill"))
        speeds = ", ".join(f"{figure:g} tokens/s {name}" for figure, name in figures if figure)
        table.add_row("published", _text(one.quantization), _text(f"{speeds} with {one.runtime}; {one.source}"))
    return table


def bill_table(memory: MemoryEstimate, budget: Budget | None) -> Table:
    """Every part of the memory bill, and the sum against what may be used."""
    size = {"no_wrap": True, "justify": "right"}
    table = _grid(("memory", {"no_wrap": True}), ("", size), ("", {"no_wrap": True}), ("", {"ratio": 1}))
    largest = max((part.bytes for part in memory.parts), default=1)
    for part in memory.parts:
        name = f"{part.name}, GPU" if part.device == "gpu" else part.name
        table.add_row(name, format_bytes(part.bytes), "#" * round(BAR * part.bytes / largest) or ".", _text(part.note))
    host, gpu = memory.on("host"), memory.on("gpu")
    if gpu:
        own = f"{gpu / budget.gpu_bytes:.0%} of its own" if budget and budget.gpu_bytes else ""
        table.add_row("total, GPU", format_bytes(gpu), "", own, style="bold")
    share = f"{host / budget.usable_bytes:.0%} of what may be used" if budget and budget.usable_bytes else ""
    table.add_row("total", format_bytes(host), "", share, style="bold")
    return table


def _names(ids: list[str]) -> dict[str, Any]:
    """Column options that keep ordinary ids on one line and fold only very long ones."""
    return {"overflow": "fold", "min_width": min(LONGEST_NAME, max(map(len, ids), default=0))}


def _text(words: str) -> Text:
    """Text in which brackets are brackets: `pip install 'edgelfm[onnx]'`."""
    from rich.text import Text

    return Text(words)


def _way(quantization: str, backend: str, usual: str) -> str:
    """`Q4_0`, or `8bit, mlx` where the backend is not the usual one."""
    return quantization if backend == usual and quantization else ", ".join(filter(None, (quantization, backend)))


def _ranked(plan: Plan, first: Candidate) -> Table:
    others = plan.candidates[1:]
    table = _grid(
        ("also fits", _names([one.model.id for one in others])),
        ("as", {}),
        ("context", {"justify": "right"}),
        ("memory", {"justify": "right", "no_wrap": True}),
        ("tokens/s", {"no_wrap": True}),
        ("why not first", {"ratio": 1}),
    )
    for one in others:
        table.add_row(
            _text(one.model.id),
            _text(_way(one.quantization, one.backend, first.backend)),
            str(one.settings.context.value),
            format_bytes(one.memory.total),
            speed_text(one.decode).replace(" tokens/s", ""),
            _text(one.reason),
        )
    return table


def _rejected(plan: Plan) -> Table:
    shown = plan.rejected[:SHOWN_REJECTIONS]
    usual = plan.chosen.backend if plan.chosen else ""
    table = _grid(
        ("turned down", _names([one.model for one in shown])),
        ("as", {}),
        ("why", {"ratio": 1}),
        ("what would help", {"ratio": 1, "overflow": "fold"}),
    )
    for one in shown:
        way = _way(one.quantization, one.backend, usual)
        table.add_row(*map(_text, (one.model, way, one.reason, one.fix)))
    if len(plan.rejected) > len(shown):
        table.add_row(f"and {len(plan.rejected) - len(shown)} more", "", "", "")
    return table
