"""An open model in a notebook: what runs, how it was opened, what it holds, and what to type next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .backends.html import drawn
from .errors import SessionClosed
from .markup import badge, bundle, code, escape, facts, folded, heading, link
from .planning.html import references_html, settings_html
from .planning.show import speed_text
from .units import format_bytes, format_seconds

if TYPE_CHECKING:
    from .backends.base import Memory
    from .model import Model
    from .remote_model import RemoteModel


def model_bundle(model: Model) -> dict[str, str]:
    """The model, whether it is still open or not."""
    candidate = model.candidate
    held = _held(model)
    rows = list(_facts(model, held))
    title = f"{model.entry.name} {candidate.quantization}"
    state = f"on {candidate.backend}" if held else f"on {candidate.backend}, closed"
    return bundle(
        repr(model) if held else f"{repr(model)[:-1]}, closed>",
        heading(title, state),
        drawn(held) if held else "",
        facts(rows),
        folded("Settings, and why", settings_html(candidate.settings) + references_html(candidate)),
    )


def remote_bundle(model: RemoteModel) -> dict[str, str]:
    """A model behind a server: what the server tells of it."""
    served, server = model.served, model.server
    abilities = ", ".join(sorted(served.abilities)) if served.abilities is not None else "not told"
    rows = [
        ("Served by", escape(f"{server.name} {server.version}".strip())),
        ("Weights", escape(", ".join(filter(None, (served.parameters, served.quantization))) or "not told")),
        ("Size there", format_bytes(served.bytes) if served.bytes else "not told"),
        ("Context", escape(f"{model.context} tokens, {served.context_from}" if model.context else "not told")),
        ("Can", escape(abilities)),
        ("Talk to it", code('lfm.chat("Why is the sky blue?")')),
    ]
    return bundle(repr(model), heading(served.id, f"at {server.url}"), facts(rows))


def _facts(model: Model, held: Memory | None) -> Iterator[tuple[str, str]]:
    candidate, entry = model.candidate, model.entry
    if held:
        planned = f"{format_bytes(candidate.memory.total)} planned for the whole process at a full context"
        yield "Holds", f"<b>{format_bytes(held.total)}</b>, {planned}"
        yield "Context", f"{model.context} tokens"
    speed = candidate.decode
    if speed.low is not None:
        yield "Decode", f"{escape(speed_text(speed))} {badge(speed.grade)} <small>{escape(speed.reason)}</small>"
    if model.load_seconds:
        yield "Opened in", format_seconds(model.load_seconds)
    if model.adapter is not None:
        yield (
            "Adapter",
            f"{escape(model.adapter.name)} <small>beside the weights, {escape(model.adapter.where)}</small>",
        )
    if model.remarks:
        yield "Runtime", "<br>".join(map(escape, model.remarks))
    yield "Licence", link(entry.license.url, entry.license.name)
    if held:
        yield "Talk to it", code('lfm.chat("Why is the sky blue?")')
    else:
        yield "Open it again", code(candidate.load_command)


def _held(model: Model) -> Memory | None:
    """What it holds now, None if it was closed."""
    try:
        model.count_tokens("")
        return model.memory()
    except SessionClosed:
        return None
