"""What was measured of bf16 in PyTorch on a CPU that does not multiply it by itself. Kept for each installation.

Measuring needs torch in memory, so whoever has loaded it does it; here it is kept and found again.
"""

from __future__ import annotations

from .machine import Machine
from .memo import keep, recall

_NAME = "torch-bf16"
#: The word for it among what is known of a runtime's build, before the ratio.
WORD = "bf16"


def known_ratio(machine: Machine, cpu: str) -> float | None:
    """Time that a turn of a chat takes in bf16, as a share of what it takes in f32. None if nobody has measured it."""
    value = recall(_NAME, _key(machine, cpu)) if machine.live else None
    return float(value) if isinstance(value, (int, float)) else None


def keep_ratio(machine: Machine, cpu: str, ratio: float) -> None:
    """Keep it for the plans to come. Where that cannot be, it is measured again."""
    keep(_NAME, _key(machine, cpu), ratio)


def in_words(ratio: float) -> str:
    """As `Runtime.build` has it."""
    return f"{WORD} {ratio:.2f}"


def ratio_in(build: tuple[str, ...]) -> float | None:
    """The ratio among the words of a build."""
    told = next((word for word in build if word.startswith(f"{WORD} ")), None)
    return float(told.removeprefix(WORD)) if told is not None else None


def _key(machine: Machine, cpu: str) -> list[str]:
    return [machine.package_stamp("torch"), cpu]
