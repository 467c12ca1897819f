"""Which model is chosen on which kind of machine, what gives way, and what is never changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from edgelfm.hardware.host import Host, Runtime
from edgelfm.hardware.profiles import Match
from edgelfm.models.entry import ModelEntry
from edgelfm.planning.plan import Plan
from edgelfm.units import GIB, MIB

MakeHost = Callable[..., Host]
MakeMatch = Callable[..., Match]
Find = Callable[[str], ModelEntry]


def ids(made: Plan) -> list[str]:
    return [one.model.id for one in made.candidates]


class TestWhichModel:
    def test_the_flagship_where_it_runs_well(self, planned: Callable[..., Plan]) -> None:
        chosen = planned().chosen
        assert chosen is not None
        assert (chosen.model.id, chosen.quantization, chosen.backend) == ("lfm2.5-1.2b-instruct", "Q4_0", "llama.cpp")
        assert "first choice for chat" in chosen.reason

    @pytest.mark.parametrize(
        ("bandwidth", "expected"),
        [(12e9, "lfm2.5-1.2b-instruct"), (5e9, "lfm2.5-350m"), (2e9, "lfm2.5-230m"), (0.5e9, "lfm2.5-230m")],
    )
    def test_a_slower_board_gets_a_smaller_model(
        self, planned: Callable[..., Plan], bandwidth: float, expected: str
    ) -> None:
        assert ids(planned(bandwidth=bandwidth))[0] == expected

    def test_a_big_machine_still_gets_the_flagship_and_sees_the_others_below(
        self, planned: Callable[..., Plan]
    ) -> None:
        made = planned(60 * GIB, bandwidth=200e9)
        assert ids(made)[0] == "lfm2.5-1.2b-instruct"
        assert {"lfm2.5-2.6b", "lfm2-24b-a2b"} <= set(ids(made)[1:])
        assert all(one.reason and one.decode.high for one in made.candidates)

    def test_thinking_models_are_turned_down_with_the_wait_they_would_cost(self, planned: Callable[..., Plan]) -> None:
        made = planned()
        assert not any(one.model.thinking for one in made.candidates)
        no = next(one for one in made.rejected if one.model == "lfm2.5-1.2b-thinking")
        assert no.cause == "task"
        assert "before the first word" in no.reason
        assert "task='reason'" in no.fix

    def test_a_thinking_model_is_chosen_when_reasoning_is_the_task(self, planned: Callable[..., Plan]) -> None:
        assert ids(planned(bandwidth=60e9, task="reason"))[0] in {"lfm2.5-8b-a1b", "lfm2.5-1.2b-thinking"}
        assert ids(planned(2 * GIB, task="reason"))[0] == "lfm2.5-1.2b-thinking"

    @pytest.mark.parametrize(
        "id", ["lfm2.5-1.2b-thinking", "lfm2-1.2b", "lfm2.5-1.2b-base", "lfm2-350m-math", "starter"]
    )
    def test_a_named_model_is_taken_whatever_it_is(self, planned: Callable[..., Plan], model: Find, id: str) -> None:
        made = planned(model=model(id))
        assert set(ids(made)) == {id}
        assert made.chosen is not None
        assert "asked for" in made.chosen.reason

    @pytest.mark.parametrize(
        ("task", "expected"),
        [
            ("complete", "lfm2.5-1.2b-base"),
            ("translate", "lfm2-350m-enjp-mt"),
            ("embed", "lfm2.5-embedding-350m"),
            ("vision", "lfm2.5-vl-1.6b"),
            ("extract", "lfm2.5-1.2b-instruct"),
        ],
    )
    def test_each_task_has_its_model(self, planned: Callable[..., Plan], task: str, expected: str) -> None:
        assert ids(planned(task=task))[0] == expected

    @pytest.mark.parametrize("task", ["chat", "agent", "extract", "rag", "tools"])
    def test_nothing_deprecated_and_no_starter_is_proposed(self, planned: Callable[..., Plan], task: str) -> None:
        made = planned(60 * GIB, bandwidth=200e9, task=task)
        assert "starter" not in ids(made)
        assert all(one.model.status == "current" for one in made.candidates)

    def test_the_starter_is_advice_where_no_lfm_fits(self, planned: Callable[..., Plan]) -> None:
        made = planned(host=None, available=512 * MIB + 230 * MIB)
        assert made.chosen is None
        (line,) = made.advice
        assert "edgelfm.load('starter')" in line
        assert "not a Liquid model" in line

    def test_an_architecture_llama_cpp_does_not_know_is_turned_down(
        self, planned: Callable[..., Plan], model: Find
    ) -> None:
        made = planned(model=model("lfm3-1.7b"), backend="llama.cpp")
        assert made.chosen is None
        assert made.rejected[0].cause == "unsupported"
        assert "lfm3" in made.rejected[0].reason


class TestWhatGivesWay:
    def test_context_micro_batch_kv_type_quantization_model_in_that_order(self, planned: Callable[..., Plan]) -> None:
        """Less and less memory: each step gives up the next thing, and nothing comes back."""
        levels = []
        for available in (8 * GIB, *range(1500 * MIB, 700 * MIB, -4 * MIB)):
            chosen = planned(available, bandwidth=40e9).chosen
            if chosen is None:
                break
            settings = chosen.settings
            level = (
                chosen.model.id,
                chosen.quantization,
                settings.kv_type.value,
                settings.micro_batch.value,
                settings.context.value,
            )
            if not levels or levels[-1] != level:
                levels.append(level)
        flagship = [level for level in levels if level[0] == "lfm2.5-1.2b-instruct"]
        assert flagship[0][2:] == ("f16", 256, 8192)
        assert flagship[-1][2:] == ("q8_0", 64, 1024), "all of it is given up before the model"
        squeezed = [level for level in flagship if level[4] == 1024]
        assert [level[2:4] for level in squeezed] == [("f16", 128), ("f16", 64), ("q8_0", 64)]
        order = list(dict.fromkeys(level[0] for level in levels))
        assert order == ["lfm2.5-1.2b-instruct", "lfm2.5-350m", "lfm2.5-230m"]

    def test_quantization_gives_way_before_the_model(self, make_match: MakeMatch, planned: Callable[..., Plan]) -> None:
        match = make_match(quantizations=("Q8_0", "Q4_0"), bandwidth=60e9)
        roomy, tight = planned(7 * GIB, match=match).chosen, planned(1600 * MIB, match=match).chosen
        assert roomy is not None
        assert tight is not None
        assert (roomy.model.id, roomy.quantization) == ("lfm2.5-1.2b-instruct", "Q8_0")
        assert (tight.model.id, tight.quantization) == ("lfm2.5-1.2b-instruct", "Q4_0")

    def test_quantization_gives_way_to_speed_too(self, make_match: MakeMatch, planned: Callable[..., Plan]) -> None:
        match = make_match(quantizations=("Q8_0", "Q4_0"), bandwidth=12e9)
        chosen = planned(match=match).chosen
        assert chosen is not None
        assert (chosen.model.id, chosen.quantization) == ("lfm2.5-1.2b-instruct", "Q4_0")


class TestWhatIsFixed:
    def test_a_context_that_does_not_fit_is_refused_with_one_that_does(
        self, planned: Callable[..., Plan], model: Find
    ) -> None:
        made = planned(1450 * MIB, model=model("lfm2.5-1.2b-instruct"), context=32768, quantization="Q4_0")
        assert made.chosen is None
        assert made.rejected[0].fix.startswith("use context ")

    def test_a_quantization_that_does_not_fit_is_refused_with_one_that_does(
        self, planned: Callable[..., Plan], model: Find
    ) -> None:
        made = planned(1600 * MIB, model=model("lfm2.5-1.2b-instruct"), quantization="F16")
        assert made.chosen is None
        assert made.rejected[0].fix.startswith("choose quantization ")

    def test_a_micro_batch_that_does_not_fit_is_refused_with_one_that_does(
        self, planned: Callable[..., Plan], model: Find
    ) -> None:
        made = planned(1400 * MIB, model=model("lfm2.5-1.2b-instruct"), quantization="Q4_0", micro_batch=1024)
        assert made.chosen is None
        assert made.rejected[0].fix.startswith("use micro_batch ")

    def test_a_named_model_that_does_not_fit_is_refused_with_one_that_does(
        self, planned: Callable[..., Plan], model: Find
    ) -> None:
        made = planned(model=model("lfm2-24b-a2b"))
        assert made.chosen is None
        nearest = made.rejected[0]
        assert nearest.short_bytes > 5 * GIB
        assert "or load lfm2.5-1.2b-instruct, which fits" in nearest.fix

    def test_more_context_than_the_model_supports_is_refused(self, planned: Callable[..., Plan], model: Find) -> None:
        made = planned(60 * GIB, model=model("lfm2.5-1.2b-instruct"), context=128_000)
        assert made.chosen is None
        assert made.rejected[0].cause == "context"
        assert made.rejected[0].fix == "use context 32768"

    def test_a_long_context_chooses_a_model_that_supports_it(self, planned: Callable[..., Plan]) -> None:
        chosen = planned(60 * GIB, bandwidth=200e9, context=100_000).chosen
        assert chosen is not None
        assert chosen.settings.context.value == 100_000
        assert chosen.model.architecture is not None
        assert chosen.model.architecture.context_supported >= 100_000

    def test_a_quantization_that_is_not_published_is_refused_with_those_that_are(
        self, planned: Callable[..., Plan], model: Find
    ) -> None:
        made = planned(model=model("lfm2.5-350m"), quantization="IQ1_S")
        assert made.chosen is None
        assert made.rejected[0].cause == "quantization"
        assert "Q4_0" in made.rejected[0].fix

    @pytest.mark.parametrize("backend", ["transformers", "onnx"])
    def test_keys_and_values_in_8_bits_are_refused_by_a_runtime_that_has_none(
        self, backend: str, make_host: MakeHost, planned: Callable[..., Plan], model: Find
    ) -> None:
        host = make_host(16 * GIB)
        host = replace(host, runtimes=(*host.runtimes, Runtime(backend, backend, True, "5.24")))
        both = {"host": host, "drivable": {"llama.cpp", backend}, "model": model("lfm2.5-1.2b-instruct")}
        made = planned(**both, backend=backend, kv_type="q8_0")
        assert made.chosen is None
        (refused,) = made.rejected
        assert refused.reason == f"{backend} keeps keys and values as it computes them, not in q8_0"
        assert refused.fix == "leave kv_type out, or use backend='llama.cpp'"
        assert planned(**both, kv_type="q8_0").chosen.settings.kv_type.asked
        plain = planned(**both, backend=backend, kv_type="f16").chosen
        assert plain is not None
        assert plain.settings.kv_type.reason.startswith("no choice here")

    def test_a_runtime_that_has_no_such_keys_and_values_is_not_worth_installing(
        self, make_match: MakeMatch, planned: Callable[..., Plan], model: Find
    ) -> None:
        match, drivable = make_match(backends=("onnx", "llama.cpp")), {"llama.cpp", "onnx"}
        asked = planned(match=match, drivable=drivable, model=model("lfm2.5-350m"), kv_type="q4_0")
        assert {one.cause for one in asked.rejected if one.backend == "onnx"} == {"unsupported"}
        assert {one.backend for one in asked.candidates} == {"llama.cpp"}

    def test_threads_asked_for_are_kept(self, planned: Callable[..., Plan]) -> None:
        chosen = planned(threads=3).chosen
        assert chosen is not None
        assert (chosen.settings.threads.value, chosen.settings.threads_prefill.value) == (3, 3)

    def test_a_memory_limit_is_obeyed_and_named_in_the_fix(self, planned: Callable[..., Plan], model: Find) -> None:
        made = planned(memory_bytes=500 * MIB)
        assert made.budget.usable_bytes == 500 * MIB
        assert made.chosen is not None
        assert made.chosen.memory.total <= 500 * MIB
        refused = planned(memory_bytes=500 * MIB, model=model("lfm2.5-1.2b-instruct"))
        assert refused.chosen is None
        assert refused.rejected[0].fix.startswith("allow ")

    def test_no_more_memory_is_allowed_than_there_is(self, planned: Callable[..., Plan]) -> None:
        assert planned(2 * GIB, memory_bytes=64 * GIB).budget.usable_bytes == 2 * GIB


def test_rejections_come_nearest_first(planned: Callable[..., Plan]) -> None:
    short = [one.short_bytes for one in planned(GIB).rejected if one.cause == "memory"]
    assert short
    assert short == sorted(short)
    assert all(figure > 0 for figure in short)
