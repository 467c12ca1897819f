"""A plan on screen: complete, tidy at 80 and 120 columns, and the same as data."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from itertools import pairwise

import pytest
from rich.console import Console

from edgelfm.hardware.host import Gpu, Host
from edgelfm.hardware.profiles import Match, SpeedReference
from edgelfm.models.entry import ModelEntry
from edgelfm.planning import plan
from edgelfm.planning.plan import Plan, SpeedEstimate
from edgelfm.planning.show import SETTINGS, speed_text
from edgelfm.units import GIB, MIB


def screen(made: Plan, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None, legacy_windows=False)
    console.print(made)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


@pytest.fixture(scope="module")
def roomy(make_host: Callable[..., Host], make_match: Callable[..., Match], entries: tuple[ModelEntry, ...]) -> Plan:
    card = Gpu("nvidia", "RTX", memory_total_bytes=8 * GIB, memory_available_bytes=8 * GIB, usable=True)
    published = SpeedReference("lfm2.5-1.2b-instruct", "Q4_0", "llama.cpp", 12.5, 110.0, "a bench page")
    match = make_match(references=(published,), backends=("mlx", "llama.cpp"))
    return plan(make_host(7 * GIB, gpus=(card,)), match, entries)


@pytest.fixture(scope="module")
def hopeless(make_host: Callable[..., Host], make_match: Callable[..., Match], entries: tuple[ModelEntry, ...]) -> Plan:
    return plan(make_host(600 * MIB), make_match(), entries)


@pytest.mark.parametrize("width", [80, 120])
def test_the_screen_is_tidy(roomy: Plan, hopeless: Plan, width: int) -> None:
    for made in (roomy, hopeless):
        lines = screen(made, width).splitlines()
        assert all(len(line) <= width for line in lines)
        assert "…" not in "".join(lines), "nothing is cut off"
        assert not any(above == below == "" for above, below in pairwise(lines))


@pytest.mark.parametrize("width", [80, 120])
def test_the_screen_says_everything(roomy: Plan, width: int) -> None:
    text = " ".join(screen(roomy, width).split())
    chosen = roomy.chosen
    assert chosen is not None
    assert "LFM2.5-1.2B-Instruct Q4_0 on llama.cpp" in text
    assert chosen.load_command in text
    for name in chosen.settings.decisions():
        assert SETTINGS[name] in text
    for part in chosen.memory.parts:
        assert part.name in text
    assert "12.5 tokens/s decode, 110 tokens/s prefill with llama.cpp; a bench page" in text
    assert "lfm2.5-350m" in text
    assert "lfm2.5-1.2b-thinking" in text
    assert "-DGGML_CUDA=on" in text


def test_the_bar_shows_which_part_is_large(roomy: Plan) -> None:
    bars = {line.split("  ")[0].strip(): line.count("#") for line in screen(roomy, 120).splitlines() if "MiB" in line}
    assert bars["weights"] == 20
    assert 0 < bars["KV cache"] < 10


def test_a_plan_without_a_choice_says_what_would_help(hopeless: Plan) -> None:
    text = screen(hopeless, 100)
    assert "nothing can run under this request" in text
    assert "close " in text


def test_brackets_in_a_command_stay(make_host: Callable[..., Host], planned: Callable[..., Plan]) -> None:
    assert "pip install 'edgelfm[llama]'" in screen(planned(host=make_host(4 * GIB, build=None)), 200)


def test_the_data_is_plain_json_and_complete(roomy: Plan) -> None:
    data = json.loads(json.dumps(roomy.to_dict()))
    chosen = data["chosen"]
    assert chosen["model"] == "lfm2.5-1.2b-instruct"
    assert set(chosen["settings"]) == set(roomy.chosen.settings.decisions())
    assert all(one["reason"] and one["grade"] for one in chosen["settings"].values())
    assert sum(part["bytes"] for part in chosen["memory"]["parts"]) == chosen["memory"]["total_bytes"]
    assert chosen["decode"]["low"] < chosen["decode"]["high"]
    assert chosen["references"][0]["source"] == "a bench page"
    assert len(data["others"]) == len(roomy.candidates) - 1
    assert all(one["fix"] for one in data["rejected"])
    assert data["budget"]["usable_bytes"] == 7 * GIB - 512 * MIB
    assert data["advice"]


def test_the_data_of_a_plan_without_a_choice(hopeless: Plan) -> None:
    data = hopeless.to_dict()
    assert data["chosen"] is None
    assert data["others"] == []
    assert data["rejected"][0]["short_bytes"] > 0


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(9.7, 24.2, "9.7–24.2 tokens/s"), (38.2, 102.4, "38–102 tokens/s"), (None, None, "unknown")],
)
def test_speeds_are_written_as_ranges(low: float | None, high: float | None, text: str) -> None:
    assert speed_text(SpeedEstimate(low, high, "estimated", "")) == text
