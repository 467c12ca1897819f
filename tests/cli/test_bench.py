"""`edgelfm bench`: figures on screen and in files, two of them compared, Ctrl-C midway, and what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

SMALL = ("--quick", "--prompt", "64", "--tokens", "8", "--depth", "16", "--repetitions", "2", "--patience", "0")


def test_it_measures_and_keeps(edgelfm: Callable, tiny_path: Path, tmp_path: Path) -> None:
    places = {kind: tmp_path / f"report.{kind}" for kind in ("json", "markdown", "html")}
    files = [word for kind, path in places.items() for word in (f"--{kind}", str(path))]
    ran = edgelfm("bench", str(tiny_path), *SMALL, *files)
    assert ran.status == 0, ran.err
    assert re.search(r"decode +[\d.,]+ ± [\d.,]+ tokens/s +8 tokens after 16", ran.out)
    assert "first token, after edit" in ran.out
    assert "\x1b" not in ran.out
    told = json.loads(places["json"].read_text())
    assert told["command"].startswith("edgelfm bench ")
    assert [one["kind"] for one in told["results"][0]["series"]][:2] == ["load", "first_token_cold"]
    assert "| decode" in places["markdown"].read_text()
    assert places["html"].read_text().lstrip().lower().startswith("<!doctype html>")

    compared = edgelfm("bench", "compare", str(places["json"]), str(places["json"]))
    assert compared.status == 0, compared.err
    assert "Nothing recorded differs" in compared.out


def test_json_on_stdout_is_nothing_else(edgelfm: Callable, tiny_path: Path) -> None:
    ran = edgelfm("bench", str(tiny_path), *SMALL, "--json", "-")
    assert json.loads(ran.out)["results"][0]["failure"] == ""


def test_ctrl_c_shows_what_was_done(terminal: Callable, tiny_path: Path) -> None:
    with terminal("bench", str(tiny_path), *SMALL, "--sustained", "600", columns=80) as bench:
        bench.wait_for(r"decode for 600 s.*min .* left")
        bench.type("\x03")
        bench.wait_for("interrupted: what is here was measured")
        assert bench.finish() == 130
        assert re.search(r"decode +[\d.,]+ ± [\d.,]+ tokens/s", bench.text)
        assert max(map(len, bench.text.partition("Model ")[2].splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a", "b"), "one model at a time"),
        (("compare", "a.json"), "compare takes two files"),
        (("starter", "--depth", "0"), "depth is 0"),
        (("starter", "--json", "/proc/no/such/place.json"), "cannot be written"),
        (("compare", "none.json", "none.json"), "none.json"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_measured(
    edgelfm: Callable, arguments: tuple[str, ...], said: str
) -> None:
    ran = edgelfm("bench", *arguments)
    assert ran.status in (1, 2)
    assert said in ran.err
    assert "hint:" in ran.err
