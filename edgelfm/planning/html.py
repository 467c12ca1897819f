"""A plan and its candidates in a notebook. The same facts as in `show`, with a bar of memory for each candidate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..markup import badge, bar, bundle, code, escape, facts, folded, grid, heading, keyed, small, terminal
from ..units import MIB, format_bytes
from .bars import Bar, bars, kept
from .plan import Budget, Candidate, MemoryEstimate, Plan, Rejected, Settings, SpeedEstimate
from .show import SETTINGS, bill_table, candidate_table, plan_table, setting_text, settings_table, speed_text

#: Bars of at most so many candidates; the rest is in the list below them.
SHOWN = 12
#: And so many that were turned down: the nearest to running come first.
LISTED = 24


def plan_bundle(plan: Plan) -> dict[str, str]:
    """The whole plan."""
    return bundle(terminal(plan_table(plan)), *_plan(plan))


def candidate_bundle(candidate: Candidate) -> dict[str, str]:
    """One way to run one model: bill and settings."""
    title = f"{candidate.model.name} {candidate.quantization}"
    return bundle(
        terminal(candidate_table(candidate)),
        heading(title, f"on {candidate.backend}"),
        facts(
            [
                ("Load it with", code(candidate.load_command)),
                ("Place", escape(candidate.reason)),
                ("Decode", speed_html(candidate.decode)),
                ("Prefill", speed_html(candidate.prefill)),
            ]
        ),
        "<h5>Memory</h5>" + memory_bars(candidate.memory, None),
        bill_html(candidate.memory, None),
        "<h5>Settings, and why</h5>" + settings_html(candidate.settings),
        references_html(candidate),
    )


def settings_bundle(settings: Settings) -> dict[str, str]:
    """How a runtime is to be opened, and why so."""
    return bundle(terminal(settings_table(settings)), settings_html(settings))


def memory_bundle(memory: MemoryEstimate) -> dict[str, str]:
    """A memory bill by itself."""
    return bundle(terminal(bill_table(memory, None)), memory_bars(memory, None), bill_html(memory, None))


def speed_bundle(speed: SpeedEstimate) -> dict[str, str]:
    """A speed by itself."""
    known = f"{speed.grade}: {speed.reason}" if speed.low is not None else speed.reason
    return bundle(f"{speed_text(speed)}, {known}", f"<p>{speed_html(speed)}</p>")


def rejected_bundle(rejected: Rejected) -> dict[str, str]:
    """One way that was turned down."""
    name = f"{rejected.model} {rejected.quantization}".strip()
    text = f"{name} on {rejected.backend}: {rejected.reason}\n  what would help: {rejected.fix}"
    rows = [("Why not", escape(rejected.reason)), ("What would help", f"<b>{escape(rejected.fix)}</b>")]
    return bundle(text, heading(name, f"on {rejected.backend}, turned down"), facts(rows))


def _plan(plan: Plan) -> Iterator[str]:
    chosen, profile = plan.chosen, plan.match.profile
    yield heading(f"Plan for {plan.request.task}", f"on {profile.name}")
    yield facts(_head(plan))
    if chosen is not None:
        yield "<h5>Memory and speed</h5>" + _ranking(plan)
        why = f"Settings of {chosen.model.name} {chosen.quantization}, and why"
        yield folded(why, settings_html(chosen.settings) + references_html(chosen))
        yield folded("Its memory, part by part", bill_html(chosen.memory, plan.budget))
        if len(plan.candidates) > SHOWN:
            yield folded(f"{len(plan.candidates) - SHOWN} more that fit", _rest(plan.candidates[SHOWN:]))
    if plan.rejected:
        ways = "1 way was" if len(plan.rejected) == 1 else f"{len(plan.rejected)} ways were"
        table = rejected_html(plan.rejected)
        yield folded(f"{ways} turned down, and what would help", table) if chosen else f"<h5>Turned down</h5>{table}"
    if plan.advice:
        lines = "".join(f"<li>{escape(line)}</li>" for line in plan.advice)
        yield f"<h5>Advice</h5><ul>{lines}</ul>"


def _head(plan: Plan) -> Iterator[tuple[str, str]]:
    budget, chosen = plan.budget, plan.chosen
    if chosen is None:
        yield "Chosen", '<b class="elfm-bad">nothing can run under this request</b>'
        nearest = next((one for one in plan.rejected if one.cause != "task"), None)
        if nearest is not None:
            yield "What would help", f"<b>{escape(nearest.fix)}</b>{small(f'for {_way(nearest)}: {nearest.reason}')}"
    else:
        name = f"<b>{escape(f'{chosen.model.name} {chosen.quantization}')}</b> on {escape(chosen.backend)}"
        yield "Chosen", name + small(chosen.reason)
        yield "Load it with", code(chosen.load_command)
        yield "Decode", speed_html(chosen.decode)
        yield "Prefill", speed_html(chosen.prefill)
    yield "Machine", f"{escape(plan.match.profile.name)} <small>{escape(f'({plan.match.reason})')}</small>"
    yield "To spend", f"{format_bytes(budget.usable_bytes)} <small>{escape(budget.reason)}</small>"
    if budget.gpu_bytes is not None:
        yield "GPU", f"{format_bytes(budget.gpu_bytes)} of its own to spend"


def _ranking(plan: Plan) -> str:
    """The candidates, best first, each with its memory against what is available."""
    rows = [_ranked(one, plan.budget, best=one is plan.chosen) for one in plan.candidates[:SHOWN]]
    header = ("fits", f"memory, of {format_bytes(plan.budget.available_bytes)} available", "context", "decode", "why")
    left = kept(plan.budget)
    words = f"{format_bytes(left.bytes)} of it: {left.kind}" if left else ""
    return grid(header, rows, right=(2, 3)) + (f"<p>{keyed([(left.look, words)])}</p>" if left else "")


def _ranked(candidate: Candidate, budget: Budget, *, best: bool) -> tuple[str, ...]:
    name = escape(candidate.model.name)
    return (
        (f"<b>{name}</b>" if best else name) + small(f"{candidate.quantization}, {candidate.backend}"),
        memory_bars(candidate.memory, budget),
        str(candidate.settings.context.value),
        escape(speed_text(candidate.decode)) + f"<br>{badge(candidate.decode.grade)}",
        f"<small>{escape(candidate.reason)}</small>",
    )


def memory_bars(memory: MemoryEstimate, budget: Budget | None) -> str:
    """A bar for each memory that it would live in, with its figures. Without a budget, shares of the bill itself."""
    return "".join(_drawn(one, alone=budget is None) for one in bars(memory, budget))


def _drawn(one: Bar, *, alone: bool) -> str:
    """The bar, and below it the same in figures."""
    segments = [*one.segments, one.kept] if one.kept else list(one.segments)
    shares = [(segment.look, segment.share) for segment in segments]
    total = f"{format_bytes(one.total_bytes)}{' on the GPU' if one.device == 'gpu' else ''}"
    if not alone and one.available_bytes:
        total += f", {_share(one)}"
    named = [(part.look, part.words) for part in one.segments if part.bytes >= MIB]
    return f"{bar(shares, one.words)}<b>{total}</b> {keyed(named)}"


def _share(one: Bar) -> str:
    share = one.total_bytes / one.available_bytes
    whole = f" of {format_bytes(one.available_bytes)}" if one.device == "gpu" else ""
    return ("under 1 %" if share < 0.01 else f"{share:.0%}".replace("%", " %")) + whole


def _rest(candidates: Sequence[Candidate]) -> str:
    rows = (
        (
            f"{escape(one.model.name)} <small>{escape(f'{one.quantization}, {one.backend}')}</small>",
            format_bytes(one.memory.total),
            str(one.settings.context.value),
            escape(speed_text(one.decode)),
            f"<small>{escape(one.reason)}</small>",
        )
        for one in candidates
    )
    return grid(("fits", "memory", "context", "decode", "why"), rows, right=(1, 2, 3))


def settings_html(settings: Settings) -> str:
    """Every setting with its value, the reason, and how well the reason is known."""
    rows = []
    for name, decision in settings.decisions().items():
        known = "" if decision.asked else badge(decision.grade)
        value = escape(setting_text(name, decision.value)).replace(" ", "&nbsp;")
        rows.append((SETTINGS[name], value, escape(decision.reason), known))
    return grid(("setting", "value", "why", "known"), rows)


def speed_html(speed: SpeedEstimate) -> str:
    """A speed as a range, how well it is known, and from what."""
    if speed.low is None:
        return f"unknown <small>{escape(speed.reason)}</small>"
    return f"<b>{escape(speed_text(speed))}</b> {badge(speed.grade)} <small>{escape(speed.reason)}</small>"


def references_html(candidate: Candidate) -> str:
    """Speeds that others published for this model on this kind of machine."""
    lines = []
    for one in candidate.references:
        figures = ((one.decode, "decode"), (one.prefill, "prefill"))
        speeds = ", ".join(f"{figure:g} tokens/s {name}" for figure, name in figures if figure)
        lines.append(f"<p><small>published: {escape(f'{one.quantization}, {speeds} with {one.runtime}; {one.source}')}")
    return "".join(f"{line}</small></p>" for line in lines)


def bill_html(memory: MemoryEstimate, budget: Budget | None) -> str:
    """Every part of the memory bill, and the sum against what may be used."""
    rows = [
        (
            part.name + (", GPU" if part.device == "gpu" else ""),
            format_bytes(part.bytes),
            badge(part.grade),
            f"<small>{escape(part.note)}</small>",
        )
        for part in memory.parts
    ]
    main, own = memory.on("host"), memory.on("gpu")
    share = f"of {format_bytes(budget.usable_bytes)} that may be used" if budget else ""
    rows.append(("<b>in all</b>", f"<b>{format_bytes(main)}</b>", "", f"<small>{share}</small>"))
    if own:
        whole = f"of {format_bytes(budget.gpu_bytes)} of its own" if budget and budget.gpu_bytes else ""
        rows.append(("<b>in all, GPU</b>", f"<b>{format_bytes(own)}</b>", "", f"<small>{whole}</small>"))
    return grid(("part", "size", "known", "what it is"), rows, right=(1,))


def rejected_html(rejected: Sequence[Rejected]) -> str:
    """What was turned down, why, and what would help."""
    rows = (
        (
            escape(one.model) + small(", ".join(filter(None, (one.quantization, one.backend)))),
            f"<small>{escape(one.reason)}</small>",
            escape(one.fix),
        )
        for one in rejected[:LISTED]
    )
    more = f"<p><small>and {len(rejected) - LISTED} more</small></p>" if len(rejected) > LISTED else ""
    return grid(("way", "why not", "what would help"), rows) + more


def _way(one: Rejected) -> str:
    return f"{one.model} {one.quantization}".strip() + f" on {one.backend}"
