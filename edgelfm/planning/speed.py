"""How fast would it write? A roofline: every token reads the weights once, and computes with each of them once.

Memory bandwidth sets the pace, or the cores do where there are few of them.

The answer is a range with a grade, never a single figure. Prefill is bound by arithmetic, for which no fact about a
machine stands in, so it is unknown until a run on that machine has been recorded.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..decision import Decision
from ..hardware.host import Gpu, Host
from ..hardware.profiles import Match, SpeedReference
from ..models.architecture import Architecture
from ..units import format_rate
from .acceleration import Acceleration
from .pace import LLAMA_CPP, Pace
from .plan import Reference, SpeedEstimate

#: Silent reading of English runs at 238 words a minute (Brysbaert 2019, a review of 190 studies) and a word is about
#: 1.3 tokens, which makes 5.2 tokens per second. Half as much again leaves room for skimming, long contexts and heat.
COMFORTABLE = 8.0
#: Tokens of context at which decode is predicted: the 1K prompts of Liquid's own charts. It is the same for every
#: candidate, so a longer context window never makes a model look slower.
DEPTH = 1024


def memory_bandwidth(host: Host, match: Match, accelerator: Acceleration) -> Decision[float | None]:
    """Bytes per second at which weights can be read where the model would live, with its source."""
    expected = match.profile.bandwidth_bytes_per_second
    source = match.profile.bandwidth_source or f"profile {match.profile.id}"
    if accelerator.discrete and accelerator.gpu is not None:
        return _own_bandwidth(accelerator.gpu)
    if accelerator.gpu is not None and expected:
        return Decision(expected, f"{format_rate(expected)} expected of unified memory ({source})", "estimated")
    if host.bandwidth.bytes_per_second:
        figure = host.bandwidth.bytes_per_second
        return Decision(
            figure, f"{format_rate(figure)} of read bandwidth, {host.bandwidth.grade} here", host.bandwidth.grade
        )
    if expected:
        return Decision(expected, f"{format_rate(expected)} of read bandwidth expected ({source})", "estimated")
    return Decision(None, "memory bandwidth is neither measured here nor known to the profile", "unknown")


def _own_bandwidth(gpu: Gpu) -> Decision[float | None]:
    """Of a GPU with memory of its own: what its driver promises, which is a data sheet's figure and no measurement."""
    peak, source = gpu.memory_bandwidth_bytes_per_second, gpu.memory_bandwidth_reason
    told = f" ({source})" if source else ""
    if peak:
        return Decision(peak, f"{format_rate(peak)} of the {gpu.name}{told}", "estimated")
    return Decision(None, f"nothing is known about the memory bandwidth of the {gpu.name}{told}", "unknown")


def bytes_per_token(weights_read: int, architecture: Architecture, depth: int = DEPTH) -> int:
    """Bytes read for one token after `depth` others: weights, keys and values, and the convolution state in and out."""
    kv = architecture.keys(depth) * architecture.head_dim * 4
    conv = len(architecture.conv_layers) * architecture.hidden * max(0, architecture.conv_cache - 1) * 4 * 2
    return weights_read + kv + conv


def decode_speed(
    bytes_read: int, layers: int, bandwidth: Decision[float | None], pace: Pace = LLAMA_CPP
) -> SpeedEstimate:
    """Tokens per second while writing, for `bytes_read` bytes a token in a network of `layers` layers."""
    if bandwidth.value is None:
        return SpeedEstimate(None, None, "unknown", bandwidth.reason)
    shares = pace.share_measured if bandwidth.grade == "measured" else pace.share_expected
    slow, fast = (share * bandwidth.value for share in shares)
    reason = f"{bytes_read / 1e6:.0f} MB read per token at {bandwidth.reason}"
    if pace.note:
        reason += f"; {pace.note}"
    if pace.computed is not None:
        if pace.computed[0] < slow and not pace.note:
            reason += f"; its cores may compute with as little as {format_rate(pace.computed[0])}"
        slow, fast = min(slow, pace.computed[0]), min(fast, pace.computed[1])
    short, long = pace.seconds_per_layer
    return SpeedEstimate(
        1 / (bytes_read / slow + layers * long), 1 / (bytes_read / fast + layers * short), "estimated", reason
    )


def prefill_speed(quantization: str = "") -> SpeedEstimate:
    """Tokens per second while reading the prompt: unknown, and why. `quantization` where only that was not measured."""
    run = f"no run in {quantization}" if quantization else "no run"
    return SpeedEstimate(None, None, "unknown", f"prefill is bound by arithmetic; {run} on this machine is recorded")


def midpoint(speed: SpeedEstimate) -> float | None:
    """The geometric middle of a range, None for an unknown speed."""
    if speed.low is None or speed.high is None:
        return None
    return float((speed.low * speed.high) ** 0.5)


def comfortable(speed: SpeedEstimate) -> bool:
    """Whether text comes faster than people read. An unknown speed is given the benefit of the doubt."""
    middle = midpoint(speed)
    return middle is None or middle >= COMFORTABLE


def references(published: Sequence[SpeedReference], model: str) -> tuple[Reference, ...]:
    """What others published for `model` on this class of machine. Told as theirs; no estimate is made from it."""
    return tuple(
        Reference(one.model, one.quantization, one.runtime, one.decode, one.prefill, one.source)
        for one in published
        if one.model == model
    )
