"""How a download shows itself: to a function, in a log, in a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import sys
import termios

import pytest

from edgelfm.models.progress import Downloading, Meter


def run(meter: Meter) -> None:
    with meter:
        meter.begin("4bit/model.safetensors", 400)
        meter.advance(600)
        meter.end()
        meter.begin("config.json", 0)
        meter.note("the connection was lost")
        meter.advance(24)
        meter.end()


def test_a_function_is_told_every_turn():
    seen: list[Downloading] = []
    run(Meter(seen.append, files=2, bytes_total=1024))
    assert seen[0] == Downloading("4bit/model.safetensors", 0, 2, 400, 1024)
    assert [now.note for now in seen if now.note] == ["the connection was lost"]
    assert seen[-1] == Downloading("config.json", 2, 2, 1024, 1024)
    assert (seen[0].fraction, seen[-1].fraction) == (400 / 1024, 1.0)
    assert [now.bytes_done for now in seen] == sorted(now.bytes_done for now in seen)


def test_a_function_is_not_called_for_every_piece():
    seen: list[Downloading] = []
    with Meter(seen.append, files=1, bytes_total=100_000) as meter:
        meter.begin("a.gguf", 0)
        for _ in range(100_000):
            meter.advance(1)
        meter.end()
    assert len(seen) < 1000
    assert seen[-1].bytes_done == 100_000


def test_plain_lines_where_nobody_sees_a_bar(capsys: pytest.CaptureFixture[str]):
    run(Meter(True, files=2, bytes_total=1024))
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == "downloading 4bit/model.safetensors, 400 B of it is here"
    assert lines[1].startswith("4bit/model.safetensors is here after ")
    assert lines[2:4] == ["downloading config.json", "the connection was lost"]
    assert "\r" not in err


@pytest.mark.parametrize("switched_off", [False, True])
def test_nothing_when_switched_off(capsys: pytest.CaptureFixture[str], monkeypatch, switched_off: bool):
    if switched_off:
        monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    run(Meter(switched_off, files=2, bytes_total=1024))
    assert capsys.readouterr().err == ""


def in_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a terminal of that width is sent."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(theirs, "w", encoding="utf-8") as terminal, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        run(Meter(True, files=2, bytes_total=1024))
        terminal.flush()
        termios.tcdrain(theirs)
        terminal.write("THE END")
        terminal.flush()
        shown = ""
        while not shown.endswith("THE END"):
            shown += os.read(ours, 100_000).decode()
    os.close(ours)
    return shown


@pytest.mark.parametrize("columns", [100, 0])
def test_a_bar_in_a_terminal(monkeypatch: pytest.MonkeyPatch, columns: int):
    shown = in_terminal(columns, monkeypatch)
    assert "model.safetensors (1/2)" in shown
    assert "config.json (2/2)" in shown
    assert "1.00k/1.00k" in shown
    assert "━" in shown
    assert "the connection was lost" in shown


def test_a_narrow_terminal_cuts_the_name_and_not_the_numbers(monkeypatch: pytest.MonkeyPatch):
    shown = in_terminal(40, monkeypatch)
    assert "model.safeten… (1/2)" in shown
    assert "1.00k/1.00k" in shown
