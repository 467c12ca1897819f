"""Ctrl-C asks a reply to stop, from a thread of its own, and is itself again afterwards."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from edgelfm.cli.interrupt import on_ctrl_c


def test_ctrl_c_calls_stop_from_another_thread() -> None:
    called, by = threading.Event(), []

    def stop() -> None:
        by.append(threading.current_thread())
        called.set()

    with on_ctrl_c(stop):
        os.kill(os.getpid(), signal.SIGINT)
        assert called.wait(5)
    assert by
    assert threading.main_thread() not in by


def test_afterwards_ctrl_c_interrupts_again() -> None:
    with on_ctrl_c(lambda: None):
        pass
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert not [thread for thread in threading.enumerate() if thread.name == "edgelfm-ctrl-c"]
