"""Facts about a model in words for people: its size and its sampling preset."""

from __future__ import annotations

from .entry import ModelEntry, Sampling


def parameters_text(entry: ModelEntry) -> str:
    """`1.17B`, or `8.34B, 1.5B active` for a mixture of experts. Empty where nobody has published it."""
    if entry.parameters is None:
        return ""
    active = entry.active_parameters
    more = f", {_short(active)} active" if active and active < entry.parameters else ""
    return _short(entry.parameters) + more


def sampling_text(preset: Sampling) -> str:
    """The preset step by step, and where it is from."""
    steps = [f"temperature {preset.temperature:g}"]
    cuts = (("top-k", preset.top_k), ("top-p", preset.top_p), ("min-p", preset.min_p))
    steps += [f"{name} {value:g}" for name, value in cuts if value]
    if preset.repetition_penalty != 1:
        steps.append(f"repetition penalty {preset.repetition_penalty:g}")
    return ", ".join(steps) + (f"; {preset.source}" if preset.source else "")


def _short(count: int) -> str:
    return f"{count / 1e9:.3g}B" if count >= 1e9 else f"{count / 1e6:.0f}M"
