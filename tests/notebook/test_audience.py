"""Who looks at a widget, and when a silent view is gone."""

from __future__ import annotations

from collections.abc import Callable

from edgelfm.notebook.audience import Audience


class Kernel:
    """The thread that hears views, and a clock; both go when they are told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waiting: list[Callable[[], None]] = []
        self.audience = Audience(beat=self.waiting.append, clock=lambda: self.now, patience=3)

    def pass_seconds(self, seconds: int, *, busy: bool = False) -> None:
        for _ in range(4 * seconds):
            self.now += 0.25
            self.audience.count()
            while self.waiting and not busy:
                self.waiting.pop(0)()


def test_somebody_looks_while_a_view_says_that_it_can_be_seen() -> None:
    kernel = Kernel()
    assert not kernel.audience
    kernel.audience.heard("a", visible=True)
    assert kernel.audience
    kernel.audience.heard("a", visible=False)
    assert not kernel.audience


def test_a_view_that_falls_silent_is_gone() -> None:
    kernel = Kernel()
    kernel.audience.heard("a", visible=True)
    kernel.pass_seconds(3)
    assert kernel.audience
    kernel.pass_seconds(3)
    assert not kernel.audience


def test_a_view_that_is_heard_now_and_then_stays() -> None:
    kernel = Kernel()
    for _ in range(5):
        kernel.audience.heard("a", visible=True)
        kernel.pass_seconds(3)
        assert kernel.audience


def test_one_of_two_tabs_is_closed() -> None:
    kernel = Kernel()
    kernel.audience.heard("closed", visible=True)
    for _ in range(3):
        kernel.audience.heard("open", visible=True)
        kernel.pass_seconds(2)
    assert kernel.audience
    kernel.audience.heard("open", visible=False)
    assert not kernel.audience


def test_while_the_kernel_is_busy_silence_means_nothing() -> None:
    """A cell that runs for minutes: what views say waits in line."""
    kernel = Kernel()
    kernel.audience.heard("a", visible=True)
    kernel.pass_seconds(120, busy=True)
    assert kernel.audience
    kernel.pass_seconds(6)
    assert not kernel.audience
