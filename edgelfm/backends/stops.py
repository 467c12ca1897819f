"""Where to pause in a long prompt to make a checkpoint: where somebody may want to go back to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

#: Tokens between checkpoints inside a long text. A cancelled prefill loses no more than that; at the 30 tokens a second
#: of a small board it is eight seconds.
SPACING = 256
#: Checkpoints nearer than this gain less than the interruption of the prefill costs.
NEAREST = 32


def stops(prompt: Sequence[int], start: int, ends_message: Callable[[int], bool]) -> list[int]:
    """Lengths in tokens at which a prefill from `start` on should pause, short of the last token.

    A message ends where the model itself would end one. The first end is that of the system prompt, with which other
    conversations begin; the last is where the newest message can be exchanged for another.
    """
    last = len(prompt) - 1
    ends = [i + 1 for i in range(start, last - 1) if ends_message(prompt[i])]
    wanted: list[int] = []
    at = start
    for number, end in enumerate(ends):
        notable = number in (0, len(ends) - 1)
        if end - at >= (NEAREST if notable else SPACING):
            wanted += range(at + SPACING, end - NEAREST, SPACING)
            wanted.append(end)
            at = end
    wanted += range(at + SPACING, last - NEAREST, SPACING)
    return wanted
