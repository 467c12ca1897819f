"""doctor, plan, models, profiles: tables in a terminal, columns in a pipe, JSON on request."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelfm.hardware.host import Board, Cpu, Host, Memory, OperatingSystem, Runtime

FRAMES = set("─│╭╮╰╯━┃┏┓┗┛")
REPORTS = {
    "doctor": ["host", "profile", "findings"],
    "plan": ["profile", "budget", "chosen", "others", "rejected", "advice", "request"],
    "models": ["models"],
    "profiles": ["matched", "profiles"],
}
GIB = 1024**3


@pytest.fixture
def pi(tmp_path: Path) -> Path:
    """A Raspberry Pi 5 as `edgelfm doctor --save` would describe it."""
    host = Host(
        os=OperatingSystem("linux", "6.12.47+rpt-rpi-2712", "Debian GNU/Linux 12 (bookworm)"),
        cpu=Cpu("ARM", "Cortex-A76", "arm64", 4, 4, 4, features=("dotprod", "fp16", "neon")),
        memory=Memory(total_bytes=8 * GIB, available_bytes=7 * GIB),
        board=Board(
            "raspberry-pi", "Raspberry Pi 5 Model B Rev 1.0", ("raspberrypi,5-model-b", "brcm,bcm2712"), "bcm2712"
        ),
        runtimes=(Runtime("llama.cpp", "llama-cpp-python", True, "0.3.36", ("NEON", "DOTPROD")),),
    )
    path = tmp_path / "pi5.json"
    path.write_text(host.to_json())
    return path


@pytest.mark.parametrize("verb", REPORTS)
def test_json_is_one_document_with_stable_keys(edgelfm: Callable, verb: str) -> None:
    ran = edgelfm(verb, "--json")
    assert ran.status == 0, ran.err
    assert [key for key in REPORTS[verb] if key not in json.loads(ran.out)] == []


@pytest.mark.parametrize("verb", REPORTS)
def test_a_pipe_gets_plain_lines(edgelfm: Callable, verb: str) -> None:
    ran = edgelfm(verb)
    assert ran.status == 0, ran.err
    assert len(ran.lines) > 5
    assert "\x1b" not in ran.out
    assert not FRAMES & set(ran.out)


@pytest.mark.parametrize("verb", REPORTS)
@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_gets_colours_within_its_width(terminal: Callable, verb: str, columns: int) -> None:
    with terminal(verb, columns=columns) as shown:
        assert shown.finish() == 0
    assert "\x1b[" in shown.raw
    assert [line for line in shown.text.splitlines() if len(line) > columns] == []


def test_no_color_takes_the_colours(terminal: Callable) -> None:
    with terminal("models", NO_COLOR="1") as shown:
        assert shown.finish() == 0
    assert "─" in shown.text
    assert "\x1b[36m" not in shown.raw


def test_a_dumb_terminal_gets_plain_lines(terminal: Callable) -> None:
    with terminal("models", TERM="dumb") as shown:
        assert shown.finish() == 0
    assert "\x1b" not in shown.raw
    assert "─" not in shown.text


def test_a_saved_machine_is_planned_for_elsewhere(edgelfm: Callable, tmp_path: Path) -> None:
    saved = edgelfm("doctor", "--save", "here.json", "--json")
    assert json.loads((tmp_path / "here.json").read_text())["cpu"] == json.loads(saved.out)["host"]["cpu"]
    here, there = (json.loads(edgelfm("plan", *where, "--json").out) for where in ([], ["--host", "here.json"]))
    assert there["profile"] == here["profile"]


def test_a_plan_for_a_raspberry_pi(edgelfm: Callable, pi: Path) -> None:
    ran = edgelfm("plan", "--host", str(pi), "--json")
    made = json.loads(ran.out)
    assert made["profile"]["id"].startswith("raspberry-pi-5")
    assert made["chosen"]["model"].startswith("lfm2.5-")
    assert made["chosen"]["settings"]["threads"]["value"] <= 4
    assert made["chosen"]["memory"]["total_bytes"] <= made["budget"]["usable_bytes"]


def test_a_plan_keeps_what_was_asked_for(edgelfm: Callable, pi: Path) -> None:
    ran = edgelfm("plan", "lfm2.5-350m", "-q", "Q8_0", "-c", "2048", "--memory", "1 GiB", "--host", str(pi), "--json")
    made = json.loads(ran.out)
    assert made["chosen"]["model"] == "lfm2.5-350m"
    assert made["chosen"]["quantization"] == "Q8_0"
    assert made["chosen"]["settings"]["context"]["value"] == 2048
    assert made["budget"]["usable_bytes"] == GIB


def test_a_piped_plan_greps_well(edgelfm: Callable, pi: Path) -> None:
    ran = edgelfm("plan", "--host", str(pi))
    kinds = {line.split()[0] for line in ran.lines}
    assert {"profile", "budget", "chosen", "setting", "memory", "speed"} <= kinds


def test_models_lists_current_ones_and_all_on_request(edgelfm: Callable) -> None:
    names = [
        [one["id"] for one in json.loads(edgelfm("models", *more, "--json").out)["models"]] for more in ([], ["--all"])
    ]
    assert "lfm2.5-1.2b-instruct" in names[0]
    assert "lfm2-1.2b" not in names[0]
    assert "lfm2-1.2b" in names[1]


def test_models_of_a_task(edgelfm: Callable) -> None:
    models = json.loads(edgelfm("models", "--task", "vision", "--json").out)["models"]
    assert models
    assert all("vision" in model["tasks"] for model in models)


def test_only_the_starter_is_on_a_fresh_disk(edgelfm: Callable) -> None:
    models = json.loads(edgelfm("models", "--downloaded", "--json").out)["models"]
    assert [model["id"] for model in models] == ["starter"]
    assert Path(models[0]["artifacts"][0]["on_disk"]).stat().st_size == models[0]["artifacts"][0]["bytes"]


def test_a_model_in_full(edgelfm: Callable) -> None:
    text = edgelfm("models", "LiquidAI/LFM2.5-1.2B-Instruct").out
    assert "lfm2.5-1.2b-instruct" in text
    assert "6 attend, 10 convolve" in text
    assert "32768 tokens" in text
    assert "LFM Open License" in text


def test_a_profile_of_ones_own_is_checked(edgelfm: Callable, tmp_path: Path) -> None:
    source = json.loads(edgelfm("profiles", "raspberry-pi-5", "--json").out)["path"]
    (tmp_path / "mine.yaml").write_text(Path(source).read_text())
    ran = edgelfm("profiles", "--check", "mine.yaml")
    assert ran.status == 0, ran.err
    assert "mine.yaml" in ran.out


def test_the_reader_may_go_away(program: str, environment: dict[str, str]) -> None:
    command = ["sh", "-c", f"{program} models --all --json | head -1"]
    done = subprocess.run(command, env=environment, text=True, capture_output=True, check=True)
    assert done.stdout == "{\n"
    assert done.stderr == ""
