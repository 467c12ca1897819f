"""A measuring bench on weights that are loaded: how long do a prefill and a token take with other settings?

It makes small contexts of its own beside the session's, so the conversation there stays as it is. The weights are
shared; a context for 576 tokens of an LFM2-1.2B takes some 40 MiB, which `bytes` tells. Knows nothing of which settings
are worth trying.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...decision import Decision
from ...errors import BackendError
from ...planning.plan import KvType
from ..cancel import Cancel
from . import interruptible
from .abort import AbortFlag
from .loading import Loaded, open_context
from .state import LlamaState

if TYPE_CHECKING:
    from ..states import Copied
    from .session import LlamaSession

_SEED = 20  # of the tokens; which ones they are has no influence on the speed


@dataclass(frozen=True, slots=True)
class Layout:
    """What a llama.cpp context is made with and cannot be changed in it afterwards."""

    flash_attention: bool
    micro_batch: int  # tokens
    kv_type: KvType = "f16"


@dataclass(slots=True)
class _Open:
    """A context with a layout, and the state it starts from when a token is measured."""

    layout: Layout
    pointer: int
    state: LlamaState
    abort: AbortFlag


class Rig:
    """Times single evaluations. `room` is the longest prompt or depth in tokens, and `longest` the longest decode.

    Every measurement starts from the state of `depth` tokens, whatever was measured before. Not for use from two
    threads at once. Close it, or use it as a context manager.
    """

    def __init__(self, loaded: Loaded, *, room: int = 512, longest: int = 64) -> None:
        self._loaded = loaded
        self._llama = loaded.llama
        self._room, self._longest = room, longest
        self._open: _Open | None = None
        self._depths: dict[tuple[bool, KvType, int], Copied] = {}  # states to decode from, by what they fit into
        self._ids = self._tokens(room + longest + 1)
        self.bytes = 0  # held by the largest context so far, beside the weights

    def prefill(self, tokens: int, layout: Layout, *, threads: int, depth: int = 0) -> float:
        """Seconds to evaluate a prompt of `tokens` tokens after `depth` tokens of context. Raises `BackendError`."""
        opened = self._at(depth, layout, threads)
        work = functools.partial(self._seconds, opened, self._batches(depth, [tokens]))
        return interruptible.run(work, opened.abort.raise_)  # Ctrl-C ends it at once, as in a session

    def decode(self, tokens: int, layout: Layout, *, threads: int, depth: int = 0) -> float:
        """Seconds to evaluate `tokens` tokens one by one after `depth` tokens of context. Raises `BackendError`.

        Sampling is not in it: that is the same for all settings.
        """
        opened = self._at(depth, layout, threads)
        self._seconds(opened, self._batches(depth, [1]))  # wakes the threads, and touches what was just put there
        return self._seconds(opened, self._batches(depth + 1, [1] * tokens))

    def reach(self, depths: Iterable[int], layout: Layout, *, threads: int) -> float:
        """Compute the states of these depths now, all along one prompt. Returns the seconds of the evaluation."""
        done, seconds = 0, 0.0
        for depth in sorted(set(depths) - {0}):
            if self._key(layout, depth) in self._depths:
                done = depth
                continue
            seconds += self.prefill(depth - done, layout, threads=threads, depth=done)
            assert self._open is not None
            self._depths[self._key(layout, depth)] = self._open.state.take()
            done = depth
        return seconds

    def close(self) -> None:
        """Free the context. Calling it twice is fine."""
        self._depths.clear()
        if self._open is not None:
            self._llama.llama_free(self._open.pointer)
            self._open = None

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @staticmethod
    def _key(layout: Layout, depth: int) -> tuple[bool, KvType, int]:
        return layout.flash_attention, layout.kv_type, depth

    def _at(self, depth: int, layout: Layout, threads: int) -> _Open:
        """A context with that layout, in the state of `depth` tokens."""
        if depth and self._key(layout, depth) not in self._depths:
            self.reach((depth,), layout, threads=self._loaded.settings.threads_prefill.value)
        opened = self._with(layout, threads)
        if not depth:
            opened.state.clear()
        elif not opened.state.put(self._depths[self._key(layout, depth)]):
            raise BackendError("llama.cpp refused a state that it wrote itself")
        return opened

    def _with(self, layout: Layout, threads: int) -> _Open:
        """A context with that layout, made if the last one had another: that takes some milliseconds."""
        opened = self._open
        if opened is None or opened.layout != layout:
            if opened is not None:
                self._llama.llama_free(opened.pointer)
                self._open = None
            opened = self._open = self._made(layout)
        self._llama.llama_set_n_threads(opened.pointer, threads, threads)
        return opened

    def _made(self, layout: Layout) -> _Open:
        settings = replace(
            self._loaded.settings,
            context=Decision(self._room + self._longest + 1, "as much as is measured"),
            batch=Decision(self._room, "all at once"),
            micro_batch=Decision(min(layout.micro_batch, self._room), "tried"),
            flash_attention=Decision(layout.flash_attention, "tried"),
            kv_type=Decision(layout.kv_type, "tried"),
        )
        loaded = self._loaded
        pointer, held = open_context(self._llama, loaded.model, settings, loaded.path.name)
        self.bytes = max(self.bytes, held.total)
        state = LlamaState(self._llama, loaded.model, pointer)
        return _Open(layout, pointer, state, AbortFlag(self._llama, pointer))

    def _batches(self, start: int, counts: Iterable[int]) -> list[object]:
        """Consecutive pieces of the tokens, from `start` on."""
        batches = []
        for count in counts:
            here = ctypes.byref(self._ids, start * ctypes.sizeof(ctypes.c_int32))
            batches.append(self._llama.llama_batch_get_one(ctypes.cast(here, ctypes.POINTER(ctypes.c_int32)), count))
            start += count
        return batches

    def _seconds(self, opened: _Open, batches: list[object]) -> float:
        llama, pointer = self._llama, opened.pointer
        started = time.perf_counter()
        for batch in batches:
            if status := llama.llama_decode(pointer, batch):
                raise BackendError(f"llama.cpp failed to evaluate while measuring (status {status})")
        llama.llama_synchronize(pointer)
        return time.perf_counter() - started

    def _tokens(self, count: int) -> ctypes.Array[ctypes.c_int32]:
        size = self._llama.llama_vocab_n_tokens(self._llama.llama_model_get_vocab(self._loaded.model))
        draw = random.Random(_SEED)
        return (ctypes.c_int32 * count)(*(draw.randrange(size) for _ in range(count)))


@contextlib.contextmanager
def rig(session: LlamaSession, *, room: int = 512, longest: int = 64) -> Iterator[Rig]:
    """A rig on the weights of `session`, which waits its turn first and answers nobody until the block ends.

    Raises `SessionClosed`.
    """
    with session._turn(Cancel()), Rig(session._loaded, room=room, longest=longest) as one:
        yield one
