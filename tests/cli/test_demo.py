"""`edgelfm demo`: a real answer, then memory predicted and measured, and speed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable


def test_the_demo_answers_and_measures(edgelfm: Callable) -> None:
    ran = edgelfm("demo")
    assert ran.status == 0, ran.err
    assert len(re.findall(r"^> ", ran.out, re.MULTILINE)) == 2
    assert re.search(r"sky|blue|light", ran.out.partition("one sentence.")[2])
    assert re.search(r"memory +[\d.]+ [MG]iB predicted( with the context full)?, [\d.]+ [MG]iB measured", ran.out)
    assert re.search(r"decode +[\d.]+ tokens/s", ran.out)
    assert re.search(r"get it +edgelfm chat lfm", ran.out)
    assert "\x1b" not in ran.out


def test_the_demo_as_json_predicts_what_it_measures(edgelfm: Callable) -> None:
    told = json.loads(edgelfm("demo", "--json").out)
    assert all(reply["text"].strip() for reply in told["replies"])
    assert told["plan"]["chosen"]["model"] == "starter"
    assert told["next"]["chosen"]["model"].startswith("lfm")
    predicted, measured = told["memory"]["predicted_bytes"], told["memory"]["measured_bytes"]
    assert abs(measured - predicted) < 0.25 * predicted
    assert told["replies"][1]["usage"]["cached_tokens"] > 0
