"""`edgelfm demo`: a real chat with a model that needs no hub, then what it took and what this machine could do."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from . import options
from .output import write_facts, write_json, write_line

if TYPE_CHECKING:
    from ..chat import Reply
    from ..model import Model
    from ..planning.plan import Candidate, Plan

STARTER = "starter"
QUESTIONS = ("Explain in two sentences why the sky is blue.", "Now explain it to a child, in one sentence.")
MAX_TOKENS = 120
SEED = 7


def demo(as_json: options.Json = False) -> None:
    """Hold a short chat with a small model and measure it.

    The model comes in a Python package, so no model hub is needed. At the end it says which Liquid model suits this
    machine and how to get it.
    """
    import edgelfm

    from ..errors import BackendError
    from .answer import reply_data
    from .opening import open_model, working

    with working("Looking at this machine"):
        busy = _busy()
        host = edgelfm.inspect()
        wanted = edgelfm.plan(host=host)
    with open_model(STARTER) as lfm:
        if not as_json:
            _introduce(lfm)
        replies = _converse(lfm, quiet=as_json)
        from .peak import peak_bytes

        peak = peak_bytes()
        if not all(reply.strip() for reply in replies):
            raise BackendError(f"{lfm.entry.name} gave an empty answer", hint="edgelfm doctor")
        if as_json:
            write_json({
                "plan": lfm.plan.to_dict(),
                "replies": [reply_data(reply) for reply in replies],
                "memory": {"predicted_bytes": lfm.candidate.memory.total, "measured_bytes": peak,
                           "held_by_model_bytes": lfm.memory().total},
                "load_seconds": lfm.load_seconds,
                "next": wanted.to_dict(),
            })  # fmt: skip
        else:
            _summarise(lfm, replies, peak, busy)
            _recommend(wanted)


def _introduce(lfm: Model) -> None:
    from ..planning.show import speed_text
    from ..units import format_bytes

    one, settings = lfm.candidate, lfm.candidate.settings
    cpu, memory = lfm.host.cpu, lfm.host.memory
    write_line("Machine", style="bold")
    write_facts([
        ("  profile", f"{lfm.plan.match.profile.name}: {lfm.plan.match.reason}"),
        ("  processor", f"{cpu.model or cpu.architecture}, {cpu.usable_cores} usable cores"),
        ("  memory", f"{format_bytes(memory.available_bytes)} of {format_bytes(memory.total_bytes)} available; "
                     f"{format_bytes(lfm.plan.budget.usable_bytes)} to spend"),
    ])  # fmt: skip
    write_line()
    write_line("Plan", style="bold")
    write_facts([
        ("  model", f"{one.model.name} {one.quantization} on {one.backend}: {one.reason}"),
        ("  context", str(settings.context)),
        ("  micro-batch", str(settings.micro_batch)),
        ("  threads", str(settings.threads)),
        ("  mmap", f"{'on' if settings.mmap.value else 'off'} ({settings.mmap.reason})"),
        ("  decode", f"{speed_text(one.decode)} ({one.decode.grade})"),
    ])  # fmt: skip
    write_line()


def _converse(lfm: Model, *, quiet: bool) -> list[Reply]:
    from .answer import write_answer, write_figures

    talk = lfm.conversation()
    replies: list[Reply] = []
    for question in QUESTIONS:
        stream = talk.stream(question, max_tokens=MAX_TOKENS, seed=SEED)
        if quiet:
            replies.append(stream.reply)
            continue
        write_line(f"> {question}", style="bold cyan")
        replies.append(write_answer(stream))
        if replies[-1].finish_reason == "cancelled":
            raise KeyboardInterrupt
        write_figures(replies[-1])
        write_line()
        sys.stdout.flush()
    return replies


def _summarise(lfm: Model, replies: list[Reply], peak: int, busy: str) -> None:
    from ..planning.show import speed_text
    from ..units import format_bytes, format_seconds

    predicted = lfm.candidate.memory.total
    first, last = replies[0].timings, replies[-1].timings
    kept = f"{last.cached_tokens} of {last.prompt_tokens} prompt tokens were already in the model's state"
    # Without flash attention the buffers grow with what is said, up to what the plan counts.
    full = "" if lfm.candidate.settings.flash_attention.value else " with the context full"
    write_line("Measured", style="bold")
    write_facts([
        ("  memory", f"{format_bytes(predicted)} predicted{full}, {format_bytes(peak)} measured at the peak "
                     f"({(peak - predicted) / predicted:+.1%})"),
        ("  load", format_seconds(lfm.load_seconds)),
        ("  prefill", _rate(first.prefill_tokens_per_second)),
        ("  decode", f"{_rate(last.decode_tokens_per_second)}, {speed_text(lfm.candidate.decode)} expected{busy}"),
        ("  first token", f"after {format_seconds(first.first_token_seconds)}"),
        ("  second turn", f"after {format_seconds(last.first_token_seconds)}: {kept}"),
    ])  # fmt: skip
    write_line()


def _recommend(wanted: Plan) -> None:
    from ..planning.show import speed_text
    from ..units import format_bytes

    one: Candidate | None = wanted.chosen
    write_line("The Liquid model for this machine", style="bold")
    if one is None:
        nearest = wanted.rejected[0] if wanted.rejected else None
        write_facts(
            [("  none fits", f"{nearest.model}: {nearest.reason}; {nearest.fix}" if nearest else "edgelfm plan")]
        )
        return
    facts: list[tuple[str, Any]] = [
        ("  model", f"{one.model.name} {one.quantization} on {one.backend}: {one.reason}"),
        ("  memory", f"{format_bytes(one.memory.total)} predicted"),
        ("  decode", f"{speed_text(one.decode)} ({one.decode.grade})"),
        ("  licence", one.model.license.summary),
        ("  get it", f"edgelfm chat {one.model.id}"),
    ]
    write_facts(facts)


def _busy() -> str:
    """A remark where other programs compete for the processor, which makes every figure of speed a low one."""
    if not hasattr(os, "getloadavg"):
        return ""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    return f" on an idle machine; this one is busy (load {load:.1f} on {cores} cores)" if load > cores / 2 else ""


def _rate(tokens_per_second: float | None) -> str:
    return "not measured" if tokens_per_second is None else f"{tokens_per_second:.1f} tokens/s"
