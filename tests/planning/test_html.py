"""A plan in a notebook: what runs, what it costs against what there is, and what was turned down."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from edgelfm.errors import RequestError
from edgelfm.hardware.host import Gpu, Host
from edgelfm.models.entry import ModelEntry
from edgelfm.planning.bars import bars
from edgelfm.planning.plan import Budget, Candidate, MemoryEstimate, MemoryPart, Plan, Request
from edgelfm.planning.show import speed_text
from edgelfm.units import GIB, MIB
from tests.html_checks import HOSTILE, look, plain

Planned = Callable[..., Plan]


def first(made: Plan) -> Candidate:
    assert made.chosen is not None
    return made.chosen


def test_a_plan_says_what_runs_and_what_to_type(planned: Planned) -> None:
    made = planned(7 * GIB)
    text = look(made).text
    assert "LFM2.5-1.2B-Instruct Q4_0 on llama.cpp" in text
    assert first(made).load_command in text
    assert first(made).reason in text
    for setting in ("KV type f16 exact, and small: only 6 of 16 layers keep keys and values", "threads 4 one for each"):
        assert setting in text
    assert "6.50 GiB 7.00 GiB available minus 512 MiB that profile board leaves to the system" in text


def test_every_candidate_has_its_memory_in_figures(planned: Planned) -> None:
    made = planned(7 * GIB)
    text = look(made).text
    assert "memory, of 7.00 GiB available" in text
    assert "512 MiB of it: the profile's reserve" in text
    for one in made.candidates:
        bar = bars(one.memory, made.budget)[0]
        words = ", ".join(part.words for part in bar.segments if part.bytes >= MIB)
        assert words in text
        assert one.model.name in text


def test_the_bars_are_as_long_as_the_figures_say(planned: Planned) -> None:
    made = planned(4 * GIB)
    drawn = re.findall(r'<div class="elfm-bar".*?</div>', made._repr_mimebundle_()["text/html"])
    assert len(drawn) == len(made.candidates)
    for bar, one in zip(drawn, made.candidates, strict=True):
        shares = dict(re.findall(r'elfm-(\w+)" style="[^"]*width:([\d.]+)%', bar))
        assert float(shares["kept"]) == pytest.approx(100 / 8, abs=0.01)
        taken = sum(float(share) for look, share in shares.items() if look != "kept")
        assert taken == pytest.approx(100 * one.memory.total / (4 * GIB), abs=0.05)


def test_memory_of_a_graphics_card_has_a_bar_of_its_own(planned: Planned, make_host: Callable[..., Host]) -> None:
    card = Gpu("nvidia", "RTX", memory_total_bytes=8 * GIB, memory_available_bytes=8 * GIB, usable=True)
    made = planned(host=make_host(7 * GIB, gpus=(card,), build=("CUDA",)))
    one = first(made)
    gpu, main = bars(one.memory, made.budget)
    assert (gpu.device, main.device) == ("gpu", "host")
    assert gpu.available_bytes == made.budget.gpu_bytes
    assert gpu.total_bytes + main.total_bytes == one.memory.total
    assert gpu.kept is None
    assert "on the GPU" in look(made).text


def test_a_part_that_nobody_named_counts_as_other() -> None:
    memory = MemoryEstimate((MemoryPart("weights", 300), MemoryPart("output head", 100), MemoryPart("new thing", 100)))
    (bar,) = bars(memory, Budget(1000, 200, 800, ""))
    assert [(one.kind, one.bytes, one.share) for one in bar.segments] == [("weights", 400, 0.4), ("other", 100, 0.1)]
    assert bar.kept is not None
    assert (bar.kept.share, bar.kept.kind[:13]) == (0.2, "the profile's")
    (asked,) = bars(memory, Budget(1000, 200, 700, ""))
    assert asked.kept is not None
    assert asked.kept.kind == "more than may be used"
    (alone,) = bars(memory)
    assert (alone.segments[0].share, alone.kept) == (0.8, None)
    assert bars(MemoryEstimate(()), Budget(0, 0, 0, ""))[0].segments == ()


def test_where_nothing_fits_the_nearest_fix_stands_first(planned: Planned) -> None:
    made = planned(600 * MIB)
    page = look(made)
    assert "nothing can run under this request What would help close" in page.text
    assert page.text.count(made.rejected[0].fix) >= 2
    assert all(one.reason in page.text and one.fix in page.text for one in made.rejected)


def test_what_was_turned_down_comes_with_its_fix(planned: Planned) -> None:
    made = planned(2 * GIB)
    text = look(made).text
    assert f"{len(made.rejected)} ways were turned down, and what would help" in text
    assert all(one.reason in text and one.fix in text for one in made.rejected)


def test_the_plain_text_is_the_table_of_terminals(planned: Planned) -> None:
    text = plain(planned(7 * GIB))
    assert text.startswith("Machine")
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_candidate_and_a_rejection_show_themselves(planned: Planned) -> None:
    made = planned(2 * GIB)
    one, no = first(made), made.rejected[0]
    for text in (look(one).text, plain(one)):
        assert "convolution state" in text
        assert "KV type" in text
    assert one.load_command in look(one).text
    for text in (look(no).text, plain(no)):
        assert no.reason in text
        assert no.fix in text


def test_the_parts_of_a_candidate_show_themselves_too(planned: Planned) -> None:
    one = first(planned(2 * GIB))
    assert "KV cache 48 MiB" in look(one.memory).text
    assert plain(one.memory).count("MiB") > 5
    assert "one for each of 4" in look(one.settings).text
    assert "micro-batch" in plain(one.settings)
    speed = speed_text(one.decode)
    assert look(one.decode).text.startswith(f"{speed} estimated 706 MB read per token")
    assert plain(one.decode).startswith(f"{speed}, estimated: 706 MB read per token")
    assert look(one.prefill).text.startswith("unknown prefill is bound by arithmetic")


def test_forty_candidates_stay_small_and_quick(planned: Planned, machine_host: Callable[[str], Host]) -> None:
    made = planned(64 * GIB)
    many = replace(made, candidates=(made.candidates * 40)[:40], rejected=(made.rejected * 40)[:40])
    host = machine_host("ryzen-ai-max-395")
    size = sum(len(shown._repr_mimebundle_()["text/html"].encode()) for shown in (many, host))
    assert size < 60_000
    seconds = []
    for _ in range(5):
        started = time.process_time()
        many._repr_mimebundle_()
        host._repr_mimebundle_()
        seconds.append(time.process_time() - started)
    assert min(seconds) < 0.1, "30 ms on an idle machine"


@pytest.mark.parametrize("text", HOSTILE)
def test_names_in_a_plan_are_text(text: str, planned: Planned, model: Callable[[str], ModelEntry]) -> None:
    made = planned(2 * GIB)
    one = first(made)
    entry = replace(one.model, id=text, name=text)
    bad = replace(
        one, model=entry, reason=text, load_command=text, artifact=replace(one.artifact, quantization=text, path=text)
    )
    rejected = replace(made.rejected[0], model=text, reason=text, fix=text, backend=text, quantization=text)
    profile = replace(made.match.profile, name=text)
    match = replace(made.match, profile=profile, reason=text)
    whole = replace(made, candidates=(bad,), rejected=(rejected,), advice=(text,), match=match)
    for shown in (whole, replace(whole, candidates=()), bad, rejected):
        assert "a" not in look(shown).seen


def test_a_plan_can_be_asked_again_without_a_look_at_anything(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = planned(7 * GIB)
    monkeypatch.setattr("builtins.open", None)
    again = made.again(replace(made.request, context=2048))
    assert first(again).settings.context.value == 2048
    assert again.host is made.host
    assert again.again(made.request) == made


def test_a_plan_put_together_by_hand_cannot_be_asked_again(planned: Planned) -> None:
    with pytest.raises(RequestError, match="by hand") as caught:
        replace(planned(), facts=None).again(Request())
    assert caught.value.hint == "make one with edgelfm.plan()"
