"""Widgets that loaded models themselves. Jupyter keeps a widget for ever, also when its cell was run again.

So one that nobody sees gives its models up before another loads some, and all are ended before the interpreter goes.
"""

from __future__ import annotations

import atexit
import contextlib
import weakref
from typing import Protocol

from .worker import Worker

_EXIT_SECONDS = 5.0  # to let a reply that is being computed see that it was stopped


class Holder(Protocol):
    """A widget with models of its own."""

    _worker: Worker

    @property
    def idle_unseen(self) -> bool:
        """Whether it is on no page and does nothing."""
        ...

    def give_up(self) -> None:
        """Free the models that it loaded, and say so where it is shown."""
        ...

    def close(self) -> None:
        """Stop everything and leave the page."""
        ...


_all: weakref.WeakSet[Holder] = weakref.WeakSet()


def hold(one: Holder) -> None:
    """Remember `one` for as long as it lives, or until `let_go`."""
    _all.add(one)


def let_go(one: Holder) -> None:
    """It was closed."""
    _all.discard(one)


def free_unseen(mine: Holder) -> None:
    """Make room for what `mine` is about to load."""
    for other in list(_all):
        if other is not mine and other.idle_unseen:
            other.give_up()


@atexit.register
def _end_all() -> None:
    """At a restart of the kernel: nothing may be computing while the interpreter goes."""
    workers = [one._worker for one in _all]
    for one in list(_all):
        with contextlib.suppress(Exception):  # the page is gone already
            one.close()
    for worker in workers:
        worker.join(_EXIT_SECONDS)
