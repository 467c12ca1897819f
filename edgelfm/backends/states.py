"""Which states a session has in memory, and the shortest way from them to the state a prompt needs.

A session works on one live state. It stands for a run of tokens, and the runtime can extend it. Attention layers keep
something for every token, so their part can be cut back to any length. Convolution layers keep their last few inputs
only, so a state can go back just to places where a copy of that part was made: checkpoints, some tens of kilobytes
each. At the end of a prompt the logits are kept as well, so that the same prompt again needs no evaluation at all. What
another conversation or another branch will want again is parked: copied out in full, and put back later.

This module decides what to keep, where to go back to, and what to give up first when its bytes run out. It does not
know how a runtime computes, nor what the tokens mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ..monitor.events import Events
from .base import Kept

#: A state is parked before it loses at least this many tokens. Evaluating fewer again costs less than the copy does.
WORTH_PARKING = 32


@dataclass(frozen=True, slots=True)
class Copied:
    """Something copied out of a runtime, in a form only that runtime understands."""

    data: Any
    bytes: int


class Runtime(Protocol):
    """What a runtime does with its live state."""

    @property
    def cuttable(self) -> bool:
        """Whether every layer can be cut back to any length, so that no checkpoints are needed."""
        ...

    def checkpoint(self) -> Copied:
        """Copy the part that cannot be cut back."""
        ...

    def go_back(self, length: int, checkpoint: Copied | None) -> bool:
        """Cut the live state to `length` tokens, and put back the part that cannot be cut. False if it would not."""
        ...

    def size(self) -> int:
        """Bytes that `take` would copy."""
        ...

    def take(self) -> Copied:
        """Copy the whole live state."""
        ...

    def put(self, copied: Copied) -> bool:
        """Make a copy the live state. False if it is not accepted; the live state is then unknown."""
        ...

    def clear(self) -> None:
        """Make the live state stand for nothing."""
        ...


@dataclass(slots=True, eq=False)
class Checkpoint:
    """A place on the way that a state can go back to."""

    length: int  # tokens
    copied: Copied | None  # None where every layer can be cut
    used: int  # on the clock of `States`
    logits: Copied | None = None  # at the end of a prompt: float32, shape (words,)

    @property
    def bytes(self) -> int:
        """Of both parts."""
        return sum(part.bytes for part in (self.copied, self.logits) if part is not None)


@dataclass(slots=True, eq=False)
class Parked:
    """A state that is not live. Its checkpoints may be shared with the live state it was copied from."""

    tokens: list[int]
    copied: Copied
    checkpoints: list[Checkpoint]
    used: int
    pinned: bool = False


@dataclass(slots=True)
class States:
    """The live state of a session, and what it keeps beside."""

    runtime: Runtime
    limit_bytes: int
    #: Whether so many more bytes can be had now without harm to the machine.
    room_for: Callable[[int], bool] = lambda _: True
    tokens: list[int] = field(default_factory=list)  # of the live state
    checkpoints: list[Checkpoint] = field(default_factory=list)  # of the live state, shortest first
    parked: list[Parked] = field(default_factory=list)
    keep: bool = True  # whether the live state is worth parking
    events: Events = field(default_factory=Events)  # is told of checkpoints and of going back
    _clock: int = 0

    def go_to(self, prompt: Sequence[int], *, keep: bool = True) -> int:
        """Make the live state the longest beginning of `prompt` that can be had.

        Returns its length in tokens: all of them if the logits after them are known, else the last one is left to be
        evaluated. `keep` says whether what is made of it will be wanted again.
        """
        prompt, before = list(prompt), len(self.tokens)
        reach = _reach(self.tokens, self.checkpoints, self.runtime.cuttable, prompt)
        best, source = reach, None
        for one in self.parked:
            length = _reach(one.tokens, one.checkpoints, self.runtime.cuttable, prompt)
            if length > best:
                best, source = length, one
        if source is not None:
            source.used = self._tick()  # so that it is not what makes room for the one that leaves
        self._park_what_is_lost(reach if source is None else common_prefix(self.tokens, prompt))
        self.keep = keep
        if source is not None and not self._unpark(source, best):
            return self.go_to(prompt, keep=keep)  # without that one, which is gone
        reached = self._cut(best)
        self._shrink(0)
        if reached and (source is not None or reached < before):
            self.events.emit("restore", tokens=reached, note="" if source is None else "parked")
        return reached

    def advance(self, tokens: Sequence[int]) -> None:
        """The runtime has evaluated these."""
        self.tokens += tokens

    @property
    def logits(self) -> Copied | None:
        """Those after the last token of the live state, None if they are not known."""
        here = self._here()
        return None if here is None else here.logits

    def mark(self, logits: Copied | None = None) -> None:
        """Make the place where the live state is now one to come back to, with the logits if they are worth it."""
        if not self.tokens or (self.runtime.cuttable and logits is None):
            return
        if (here := self._here()) is None:
            copied = None if self.runtime.cuttable else self.runtime.checkpoint()
            self.checkpoints.append(here := Checkpoint(len(self.tokens), copied, self._tick()))
            self.events.emit("checkpoint", tokens=len(self.tokens))
        here.used, here.logits = self._tick(), here.logits or logits
        self._shrink(0)

    def recover(self) -> None:
        """An evaluation was broken off. Go back to the last place that is certain."""
        length = len(self.tokens)
        if not self.runtime.cuttable:
            length = self.checkpoints[-1].length if self.checkpoints else 0
        self._cut(length, always=True)

    def lose(self) -> None:
        """The live state cannot be trusted any more. Parked ones are copies, and stay."""
        self.runtime.clear()
        self.tokens, self.checkpoints = [], []

    def forget(self) -> None:
        """Give up everything."""
        self.lose()
        self.parked = []

    def pin(self) -> None:
        """Park a copy of the live state that nothing pushes out."""
        same = self._parked_like(self.tokens)
        if same is not None:
            same.pinned = True
        else:
            self._park(pinned=True)

    def adopt(self, tokens: Sequence[int], copied: Copied, checkpoints: Sequence[Checkpoint], pin: bool) -> None:
        """Keep a state that came from elsewhere, in the place of one for the same tokens."""
        if (same := self._parked_like(list(tokens))) is not None:
            self.parked.remove(same)
            pin = pin or same.pinned
        used = self._tick()
        self._shrink(copied.bytes)
        self.parked.append(Parked(list(tokens), copied, [replace(one, used=used) for one in checkpoints], used, pin))

    def best_for(self, prompt: Sequence[int]) -> Parked | None:
        """The state that has most of `prompt`, copied if it is the live one. None if none has a token of it."""
        prompt = list(prompt)
        live = common_prefix(self.tokens, prompt)
        best = max(self.parked, key=lambda one: common_prefix(one.tokens, prompt), default=None)
        if best is not None and common_prefix(best.tokens, prompt) > live:
            return best
        return Parked(list(self.tokens), self.runtime.take(), list(self.checkpoints), self._clock) if live else None

    def kept(self) -> Kept:
        """What is in memory. May be called from any thread."""
        parked = sorted(self.parked, key=lambda one: -one.used)
        return Kept(
            tokens=len(self.tokens),
            checkpoints=tuple(one.length for one in tuple(self.checkpoints)),
            parked=tuple(len(one.tokens) for one in parked),
            bytes=self._bytes(),
            limit_bytes=self.limit_bytes,
            pinned_bytes=sum(one.copied.bytes for one in parked if one.pinned),
        )

    def _park_what_is_lost(self, kept: int) -> None:
        if self.keep and len(self.tokens) - kept >= WORTH_PARKING and self._parked_like(self.tokens) is None:
            self._park()

    def _park(self, *, pinned: bool = False) -> None:
        size = self.runtime.size()
        if not pinned and (size > self.limit_bytes or not self.room_for(size)):
            return
        self.parked = [one for one in self.parked if one.pinned or not self._covers(one)]
        if self._shrink(size) or pinned:
            copied = self.runtime.take()
            self.parked.append(Parked(list(self.tokens), copied, list(self.checkpoints), self._tick(), pinned))

    def _covers(self, other: Parked) -> bool:
        """Whether the live state can go back to exactly where the other one is."""
        length = len(other.tokens)
        if self.tokens[:length] != other.tokens:
            return False
        return self.runtime.cuttable or any(one.length == length for one in self.checkpoints)

    def _unpark(self, source: Parked, length: int) -> bool:
        accepted = self.runtime.put(source.copied)
        grows_out_of_it = not source.pinned and len(source.tokens) - length < WORTH_PARKING
        if source in self.parked and (grows_out_of_it or not accepted):
            self.parked.remove(source)
        if not accepted:
            self.lose()
            return False
        self.tokens, self.checkpoints = list(source.tokens), list(source.checkpoints)
        return True

    def _cut(self, length: int, *, always: bool = False) -> int:
        """Cut the live state to `length`, where it must be able to go. Returns the length it has then."""
        if length == len(self.tokens) and not always:
            return length
        checkpoint = next((one for one in self.checkpoints if one.length == length), None)
        if checkpoint is not None:
            checkpoint.used = self._tick()
        if not length or not self.runtime.go_back(length, checkpoint.copied if checkpoint is not None else None):
            self.lose()
            return 0
        del self.tokens[length:]
        self.checkpoints = [one for one in self.checkpoints if one.length <= length]
        return length

    def _here(self) -> Checkpoint | None:
        """The checkpoint where the live state is, if there is one."""
        last = self.checkpoints[-1] if self.checkpoints else None
        return last if last is not None and last.length == len(self.tokens) else None

    def _tick(self) -> int:
        self._clock += 1
        return self._clock

    def _parked_like(self, tokens: list[int]) -> Parked | None:
        return next((one for one in self.parked if one.tokens == tokens), None)

    def _shrink(self, coming: int) -> bool:
        """Give up what was not used for longest until `coming` bytes more keep within the limit, if they can."""
        while self._bytes() + coming > self.limit_bytes:
            spare: list[Parked | Checkpoint] = [one for one in self.parked if not one.pinned]
            spare += self.checkpoints[:-1]  # the last one is where a broken-off evaluation goes back to
            if not spare:
                return False
            oldest = min(spare, key=lambda one: one.used)
            if isinstance(oldest, Parked):
                self.parked.remove(oldest)
            else:
                self.checkpoints.remove(oldest)
                for one in self.parked:
                    if oldest in one.checkpoints:
                        one.checkpoints.remove(oldest)
        return True

    def _bytes(self) -> int:
        marks = {id(mark): mark.bytes for one in tuple(self.parked) for mark in tuple(one.checkpoints)}
        marks |= {id(mark): mark.bytes for mark in tuple(self.checkpoints)}
        return sum(one.copied.bytes for one in tuple(self.parked)) + sum(marks.values())


def common_prefix(left: list[int], right: list[int]) -> int:
    """Number of leading tokens that are the same."""
    same, differ = 0, min(len(left), len(right)) + 1  # the answer is at least the one and below the other
    if left[: differ - 1] == right[: differ - 1]:  # the usual case
        return differ - 1
    while differ - same > 1:  # halving compares slices at C speed, where a loop over tokens would not
        middle = (same + differ) // 2
        same, differ = (middle, differ) if left[same:middle] == right[same:middle] else (same, middle)
    return same


def _reach(tokens: list[int], checkpoints: list[Checkpoint], cuttable: bool, prompt: list[int]) -> int:
    """Tokens of `prompt` that a state can be made to stand for. All of them only where the logits are known as well."""
    shared = common_prefix(tokens, prompt)
    if shared == len(prompt):
        if any(one.length == shared and one.logits is not None for one in checkpoints):
            return shared
        shared -= 1
    if shared == len(tokens) or cuttable:
        return shared
    return max((one.length for one in checkpoints if one.length <= shared), default=0)
