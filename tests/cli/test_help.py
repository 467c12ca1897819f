"""The command line explains itself, and starts quickly."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest

VERBS = ("doctor", "plan", "pull", "chat", "demo", "bench", "tune", "convert", "models", "profiles")


def test_the_command_alone_lists_the_verbs(edgelfm: Callable) -> None:
    ran = edgelfm()
    assert ran.status == 0
    assert [verb for verb in VERBS if not re.search(rf"^  {verb} ", ran.out, re.MULTILINE)] == []
    assert "..." not in ran.out.partition("Commands:")[2], "a summary was cut"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(edgelfm: Callable, verb: str) -> None:
    ran = edgelfm(verb, "--help")
    assert ran.status == 0
    assert ran.out.startswith(f"Usage: edgelfm {verb}")
    assert "--json" in ran.out
    assert "\x1b" not in ran.out


def test_help_in_a_terminal_has_frames(terminal: Callable) -> None:
    with terminal("plan", "--help") as shown:
        assert shown.finish() == 0
    assert "╭" in shown.text
    assert "What you ask for" in shown.text


def test_version(edgelfm: Callable) -> None:
    import edgelfm as package

    assert edgelfm("--version").out == f"edgelfm {package.__version__}\n"


def test_help_comes_within_half_a_second(edgelfm: Callable) -> None:
    def once() -> float:
        started = time.perf_counter()
        edgelfm("--help")
        return time.perf_counter() - started

    assert min(once() for _ in range(5)) < 0.5
