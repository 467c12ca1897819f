"""A machine, a profile and why it was taken, in a notebook. The same lines as `show` writes, under each other."""

from __future__ import annotations

from collections.abc import Iterator

from ..markup import bar, bundle, element, escape, facts, heading, terminal
from ..units import format_bytes, format_rate
from .host import Host
from .profiles import Match, Profile, SpeedReference
from .show import host_lines, host_table

#: How `host_lines` marks a line, and the class for it.
_LOOKS = {"green": "elfm-good", "yellow": "elfm-warn", "red": "elfm-bad", "dim": "elfm-soft"}


def host_bundle(host: Host) -> dict[str, str]:
    """The machine as a table."""
    sections: dict[str, list[str]] = {}
    for section, text, style in host_lines(host):
        sections.setdefault(section, []).append(_line(text, style))
    memory = host.memory
    if memory.total_bytes:
        used = 1 - memory.available_bytes / memory.total_bytes
        sections["memory"].insert(0, bar([("plain", used)], f"{used:.0%} of memory is taken"))
    del sections["machine"]  # the heading says it
    rows = [(name, "".join(lines)) for name, lines in sections.items()]
    name = host.board.name or host.cpu.model or "a machine without a name"
    above = heading(name, " · ".join(filter(None, (host.board.soc, host.board.firmware))))
    return bundle(terminal(host_table(host)), above, facts(rows))


def _line(text: str, style: str) -> str:
    words = escape(text.strip())
    return element("div", words, class_=_LOOKS[style]) if style else element("div", words)


def profile_bundle(profile: Profile) -> dict[str, str]:
    """What a profile says."""
    rows = list(profile_facts(profile))
    text = "\n".join([f"Profile {profile.id}: {profile.name}", *(f"  {name}: {value}" for name, value in rows)])
    return bundle(text, heading(profile.name, f"profile {profile.id}"), facts((n, escape(v)) for n, v in rows))


def match_bundle(match: Match) -> dict[str, str]:
    """The profile that was taken, and why."""
    rows = [("taken because", match.reason), *profile_facts(match.profile)]
    title = f"Profile {match.profile.id}: {match.profile.name}"
    text = "\n".join([title, *(f"  {name}: {value}" for name, value in rows)])
    above = heading(match.profile.name, f"profile {match.profile.id}")
    return bundle(text, above, facts((name, escape(value)) for name, value in rows))


def profile_facts(profile: Profile) -> Iterator[tuple[str, str]]:
    """Names and values in words, as far as there is something to say."""
    yield "matches", profile.describes
    yield "reserve", f"{format_bytes(profile.reserve_bytes)} left to the system and to other programs"
    yield "backends", ", ".join(profile.backends)
    yield "quantizations", ", ".join(profile.quantizations)
    policy = profile.threads
    most = f", at most {policy.maximum}" if policy.maximum else ""
    yield "threads", f"one for each of the {policy.cores} cores{most}" + (f": {policy.reason}" if policy.reason else "")
    if profile.bandwidth_bytes_per_second:
        source = f", {profile.bandwidth_source}" if profile.bandwidth_source else ""
        yield "memory bandwidth", f"{format_rate(profile.bandwidth_bytes_per_second)} expected{source}"
    for reference in profile.references:
        yield "published", _published(reference)
    for note in profile.notes:
        yield "note", note


def _published(one: SpeedReference) -> str:
    speeds = ((one.decode, "decode"), (one.prefill, "prefill"))
    figures = ", ".join(f"{speed:g} tokens/s {name}" for speed, name in speeds if speed)
    return f"{one.model} {one.quantization}, {figures} with {one.runtime}; {one.source}"
