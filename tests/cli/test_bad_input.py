"""Whatever people type, they get two lines that say what is wrong and what to type next, never a traceback."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

FAILED, MISUSED = 1, 2

CASES: dict[str, tuple[list[str], int, str]] = {
    # command line, exit status, what the error line must name
    "an unknown verb": (["plna"], MISUSED, "plna"),
    "an unknown option": (["plan", "--contxt", "4096"], MISUSED, "--contxt"),
    "a context that is no number": (["plan", "--context", "much"], MISUSED, "--context"),
    "an option without its value": (["plan", "--memory"], MISUSED, "--memory"),
    "a model that does not exist": (["plan", "lfm9"], FAILED, "lfm9"),
    "a near miss of a model": (["plan", "lfm2.5-1.3b-instruct"], FAILED, "lfm2.5-1.3b"),
    "a file that does not exist": (["plan", "./none.gguf"], FAILED, "none.gguf"),
    "a model of no name": (["plan", ""], FAILED, "empty"),
    "a negative context": (["plan", "--context", "-5"], FAILED, "context is -5"),
    "an amount that is none": (["plan", "--memory", "1 parsec"], FAILED, "1 parsec"),
    "an unknown task": (["plan", "--task", "dance"], FAILED, "dance"),
    "an unknown task of models": (["models", "--task", "dance"], FAILED, "dance"),
    "an unknown quantization": (["plan", "starter", "--quantization", "Q9_9"], FAILED, "Q9_9"),
    "an unknown backend": (["plan", "--backend", "turbo"], FAILED, "turbo"),
    "a budget too small": (["plan", "starter", "--memory", "10 MiB"], FAILED, "10 MiB can be used"),
    "no host file": (["plan", "--host", "none.json"], FAILED, "none.json"),
    "a host file that is no JSON": (["plan", "--host", "broken.json"], FAILED, "broken.json"),
    "a host file with a wrong field": (["plan", "--host", "wrong.json"], FAILED, "cores_in_the_moon"),
    "an unknown profile": (["plan", "--profile", "raspbery-pi-5"], FAILED, "raspbery-pi-5"),
    "an unknown profile to show": (["profiles", "raspbery-pi-5"], FAILED, "raspbery-pi-5"),
    "a profile with a wrong key": (["profiles", "--check", "wrong.yaml"], FAILED, "reserv"),
    "no profile to check": (["profiles", "--check", "none.yaml"], FAILED, "none.yaml"),
    "an unknown model to show": (["models", "lfm9"], FAILED, "lfm9"),
    "a cut GGUF": (["chat", "cut.gguf", "--once", "Hello"], FAILED, "cut.gguf"),
    "a GGUF that is text": (["chat", "text.gguf", "--once", "Hello"], FAILED, "text.gguf"),
    "a download while offline": (["pull", "lfm2.5-350m", "--offline"], FAILED, "LFM2.5-350M"),
    "an empty prompt": (["chat", "starter", "--once", " "], FAILED, "empty"),
    "a temperature too high": (["chat", "starter", "--once", "Hello", "--temperature", "99"], FAILED, "is 99"),
    "no reply at all": (["chat", "starter", "--once", "Hello", "--max-tokens", "0"], FAILED, "max_tokens is 0"),
    "a place that cannot be written": (["doctor", "--save", "none/host.json"], FAILED, "none/host.json"),
}  # fmt: skip


@pytest.fixture
def broken_files(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "wrong.json").write_text('{"schema": 1, "cpu": {"cores_in_the_moon": 3}}')
    (tmp_path / "wrong.yaml").write_text("name: My board\nreserv: 500 MiB\n")
    (tmp_path / "cut.gguf").write_bytes(b"GGUF\x03\x00\x00\x00\x10\x00")
    (tmp_path / "text.gguf").write_text("Once upon a time\n" * 100)


@pytest.mark.usefixtures("broken_files")
@pytest.mark.parametrize("case", CASES)
def test_an_error_says_what_and_what_next(edgelfm: Callable, case: str) -> None:
    arguments, status, named = CASES[case]
    ran = edgelfm(*arguments)
    assert ran.status == status, ran.err
    assert re.search(rf"^error: .*{re.escape(named)}", ran.err, re.MULTILINE), ran.err
    assert re.search(r"^hint: \S", ran.err, re.MULTILINE), ran.err
    assert "Traceback" not in ran.err
    assert "unexpected" not in ran.err, "this error is not one of ours"


def test_a_near_miss_names_the_right_one(edgelfm: Callable) -> None:
    assert "lfm2.5-1.2b-instruct" in edgelfm("plan", "lfm2.5-1.2b-instrct").err
    assert "'plan'" in edgelfm("plna").err


def test_a_hub_that_cannot_be_reached(edgelfm: Callable) -> None:
    ran = edgelfm("pull", "lfm2.5-350m")
    assert ran.status == FAILED
    assert "error:" in ran.err
    assert "hint:" in ran.err
    assert "Traceback" not in ran.err


def test_a_debugging_person_gets_the_traceback(edgelfm: Callable) -> None:
    ran = edgelfm("plan", "lfm9", EDGELFM_DEBUG="1")
    assert "Traceback" in ran.err
    assert re.search(r"^error: .*lfm9", ran.err, re.MULTILINE)


def test_json_output_stays_clean_when_nothing_fits(edgelfm: Callable) -> None:
    import json

    ran = edgelfm("plan", "starter", "--memory", "10 MiB", "--json")
    assert ran.status == FAILED
    assert json.loads(ran.out)["chosen"] is None
    assert "error:" in ran.err
