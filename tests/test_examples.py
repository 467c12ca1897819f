"""The examples run as their first lines say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelfm import Host

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name: str, *arguments: str) -> str:
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_first_chat() -> None:
    out = run("first_chat.py", "starter")
    assert out.count("> ") == 2
    assert out.count("tokens/s") == 2
    assert "cached" in out  # the second turn costs only what is new


def test_another_way() -> None:
    out = run("another_way.py", "starter")
    assert out.count("cached") == 3
    assert "My basil has brown leaves. Why?  2/2" in out
    assert "5 messages, the last: " in out  # the first way is still there


def test_plan_for_another_board(tmp_path: Path, machine_host: Callable[[str], Host]) -> None:
    board = tmp_path / "board.json"
    board.write_text(machine_host("pi5-8gb").to_json())
    out = run("plan_for_another_board.py", str(board))
    assert "raspberry-pi-5" in out
    assert "LFM2.5-1.2B-Instruct Q4_0: " in out


def test_several_at_once() -> None:
    out = run("several_at_once.py", "starter")
    assert out.count("-> ") == 2


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_every_example_is_tested(path: Path) -> None:
    assert f"def test_{path.stem}(" in Path(__file__).read_text()
