"""`edgelfm convert` from the shell: a table, JSON, and errors with a hint."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelfm.cli.convert import _tidy_at_the_end
from tests.tiny_folder import write_tiny_lfm2_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_lfm2_folder(tmp_path / "mine")


def test_a_file_is_made_and_can_be_talked_to(edgelfm: Callable, folder: Path) -> None:
    ran = edgelfm("convert", str(folder), "-q", "Q8_0", "--json")
    assert ran.status == 0, ran.err
    made = json.loads(ran.out)
    (one,) = made["files"]
    assert one["path"] == str(folder.parent / "mine-Q8_0.gguf")
    assert one["agreement"]["top1"] > 0.8
    assert len(one["sha256"]) == 64
    asked = edgelfm("chat", one["path"], "--once", "hello", "--max-tokens", "4")
    assert asked.status == 0, asked.err


def test_the_table_says_how_well_it_agrees(edgelfm: Callable, folder: Path) -> None:
    ran = edgelfm("convert", str(folder), "--to", "gguf", "-q", "F16,Q4_0", "-o", "out")
    assert ran.status == 0, ran.err
    assert ran.lines[0].split() == ["FILE", "SIZE", "TOP-1", "KL,", "NATS", "SHA256"]
    assert [line.split()[0] for line in ran.lines[1:3]] == ["mine-F16.gguf", "mine-Q4_0.gguf"]
    assert f"edgelfm chat {folder.parent / 'out' / 'mine-F16.gguf'}" in ran.out


def test_what_matters_most_is_found_out_on_a_text(edgelfm: Callable, folder: Path) -> None:
    text = "Water the basil twice a day, and the cactus when it thunders. " * 20
    ran = edgelfm("convert", str(folder), "-q", "IQ2_XS", "--calibrate", "-", stdin=text)
    assert ran.status == 0, ran.err
    assert f"importances    {folder.parent / 'mine.imatrix'}" in ran.out
    assert "a long one" in ran.out
    assert (folder.parent / "mine.imatrix").is_file()


def test_what_cannot_be_converted_is_said_in_two_lines(edgelfm: Callable, folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    ran = edgelfm("convert", str(folder))
    assert ran.status == 1
    assert "pickled" in ran.err
    assert "hint: " in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_closed_terminal_ends_it_as_ctrl_c_does(name: str) -> None:
    number = getattr(signal, name, None)
    if number is None:
        pytest.skip(f"to run: a system with {name}")
    with pytest.raises(SystemExit) as ended, _tidy_at_the_end():
        signal.raise_signal(number)
    assert ended.value.code == 128 + number
    assert signal.getsignal(number) is signal.SIG_DFL


def test_a_terminal_shows_frames_and_takes_the_bar_away(terminal: Callable, folder: Path) -> None:
    with terminal("convert", str(folder), "-q", "Q8_0") as shown:
        assert shown.finish() == 0
    assert "mine-Q8_0.gguf" in shown.text
    assert "top-1" in shown.text
