"""Plans change with what was measured on the host, and only as far as people, profile and memory allow."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from edgelfm.hardware.host import Cpu, Gpu, Host, Runtime
from edgelfm.hardware.profiles import Match, ThreadPolicy
from edgelfm.models.entry import ModelEntry
from edgelfm.planning.plan import Candidate, Plan
from edgelfm.planning.records import Record, Trial
from edgelfm.planning.records import build as build_name
from edgelfm.planning.sizes import BITS
from edgelfm.planning.speed import bytes_per_token, midpoint
from edgelfm.units import GIB, MIB
from tests.planning.conftest import build_record

MakeRecord = Callable[..., Record]
MakeHost = Callable[..., Host]
MakeMatch = Callable[..., Match]
Planned = Callable[..., Plan]

TRIED = (
    Trial("decode", "threads", "2", 0.01094), Trial("decode", "threads", "1", 0.0147),
    Trial("prefill", "threads_prefill", "4", 0.003), Trial("prefill", "threads_prefill", "2", 0.005),
    Trial("decode", "flash_attention", "on", 0.01094), Trial("decode", "flash_attention", "off", 0.0143),
    Trial("prefill", "micro_batch", "64", 0.003), Trial("prefill", "micro_batch", "256", 0.0034),
)  # fmt: skip

WITHOUT = (Trial("decode", "flash_attention", "off", 0.009), Trial("decode", "flash_attention", "on", 0.010))


@pytest.fixture
def small(model: Callable[[str], ModelEntry]) -> ModelEntry:
    return model("lfm2.5-350m")


@pytest.fixture
def tuned(make_record: MakeRecord, small: ModelEntry) -> Record:
    """A 350M in Q4_0 that was best with 2 threads, 4 for prefill, and a micro-batch of 64."""
    return make_record(entry=small, decode=0.01094, threads=2, threads_prefill=4, micro_batch=64, tried=TRIED)


def chosen(plan: Plan) -> Candidate:
    assert plan.chosen is not None
    return plan.chosen


def test_the_network_itself_is_opened_as_it_was_measured(planned: Planned, small: ModelEntry, tuned: Record) -> None:
    settings = chosen(planned(model=small, records=[tuned])).settings
    told = {
        "threads": (2, "best here: 91.4 tokens/s with 2 threads, 68.0 with 1"),
        "threads_prefill": (4, "best here: 333 tokens/s with 4 threads, 200 with 2"),
        "flash_attention": (True, "best here: decode 91.4 tokens/s with it, 69.9 without it"),
        "micro_batch": (64, "best here: 333 tokens/s of prompt at 64, 294 at 256"),
    }
    for name, (value, reason) in told.items():
        decision = getattr(settings, name)
        assert (decision.value, decision.reason, decision.grade) == (value, reason, "measured")


def test_its_speed_is_the_measured_one(planned: Planned, small: ModelEntry, tuned: Record) -> None:
    one = chosen(planned(model=small, quantization="Q4_0", records=[tuned]))
    assert (one.decode.grade, one.prefill.grade) == ("measured", "measured")
    assert midpoint(one.decode) == pytest.approx(91.4, rel=0.01)
    assert midpoint(one.prefill) == pytest.approx(333, rel=0.01)
    assert "about 91 tokens/s" in one.reason


def test_other_networks_learn_threads_and_speed_but_not_the_micro_batch(
    planned: Planned, model: Callable[[str], ModelEntry], tuned: Record
) -> None:
    wanted = model("lfm2.5-1.2b-instruct")
    plain, taught = (chosen(planned(model=wanted, records=records)) for records in ((), [tuned]))
    assert (taught.settings.threads.value, taught.settings.threads.grade) == (2, "calibrated")
    assert taught.settings.threads.reason.startswith("best for lfm2-16x1024 in Q4_0 here: 91.4 tokens/s with 2 threads")
    assert taught.settings.flash_attention.grade == "calibrated"
    assert taught.settings.micro_batch == plain.settings.micro_batch
    assert taught.decode.grade == "calibrated"
    assert taught.prefill.grade == "calibrated"
    assert (plain.decode.grade, plain.prefill.grade) == ("estimated", "unknown")


def test_a_toy_that_was_measured_sets_no_threads_of_a_real_model(
    planned: Planned, small: ModelEntry, tuned: Record
) -> None:
    """What fits into the caches of a processor is fastest with one thread, and says nothing about what does not."""
    toy = replace(tuned, model="lfm2-6x64-0123456789", bytes_per_token=540_000, threads=1, threads_prefill=1)
    unmeasured, taught = (chosen(planned(model=small, records=known)).settings for known in ([], [toy]))
    assert taught.threads == unmeasured.threads
    assert taught.threads_prefill == unmeasured.threads_prefill
    assert taught.flash_attention == unmeasured.flash_attention


def test_a_quantization_of_other_kernels_has_no_prefill_and_the_plan_says_which(
    planned: Planned, small: ModelEntry, tuned: Record
) -> None:
    one = chosen(planned(model=small, quantization="Q8_0", records=[tuned]))
    assert one.decode.grade == "calibrated"
    assert one.prefill.grade == "unknown"
    assert "no run in Q8_0 on this machine is recorded" in one.prefill.reason


def test_a_run_that_tried_nothing_else_tells_its_speed_and_sets_nothing(
    planned: Planned, small: ModelEntry, make_record: MakeRecord
) -> None:
    plain = chosen(planned(model=small))
    for threads, grade in ((4, "measured"), (1, "estimated")):
        bare = make_record(entry=small, threads=threads, threads_prefill=threads, flash_attention=False)
        one = chosen(planned(model=small, records=[bare]))
        assert one.settings == plain.settings
        assert one.decode.grade == grade, "the plan is for 4 threads"


def test_what_was_asked_for_comes_first(planned: Planned, small: ModelEntry, tuned: Record) -> None:
    one = chosen(planned(model=small, threads=1, micro_batch=128, records=[tuned]))
    assert (one.settings.threads.value, one.settings.threads.reason) == (1, "asked for")
    assert (one.settings.threads_prefill.value, one.settings.micro_batch.value) == (1, 128)
    assert midpoint(one.decode) == pytest.approx(68, rel=0.01), "as it was measured with one thread"


def test_threads_that_were_never_tried_leave_the_estimate(planned: Planned, small: ModelEntry, tuned: Record) -> None:
    assert chosen(planned(model=small, threads=3, records=[tuned])).decode.grade == "estimated"


def test_the_profile_bounds_the_threads(
    planned: Planned, small: ModelEntry, tuned: Record, make_match: MakeMatch
) -> None:
    match = make_match(threads=ThreadPolicy(maximum=1, prefill_maximum=2, reason="heat"))
    one = chosen(planned(model=small, match=match, records=[tuned]))
    assert (one.settings.threads.value, one.settings.threads_prefill.value) == (1, 2)
    assert one.settings.threads.reason == "the profile allows 1: heat"
    assert midpoint(one.decode) == pytest.approx(68, rel=0.01)
    assert midpoint(one.prefill) == pytest.approx(200, rel=0.01)


def test_a_large_micro_batch_is_taken_where_there_is_room(
    planned: Planned, small: ModelEntry, make_record: MakeRecord
) -> None:
    tried = (Trial("prefill", "micro_batch", "2048", 0.002), Trial("prefill", "micro_batch", "256", 0.003))
    wide = make_record(entry=small, micro_batch=2048, tried=tried)
    roomy = chosen(planned(7 * GIB, model=small, records=[wide]))
    plain = chosen(planned(7 * GIB, model=small))
    assert roomy.settings.micro_batch.value == 2048
    assert roomy.settings.context == plain.settings.context
    assert roomy.memory.part("compute buffers") > plain.memory.part("compute buffers")
    assert roomy.memory.total <= 7 * GIB - 512 * MIB


def test_a_micro_batch_never_costs_the_fit_nor_the_context(
    planned: Planned, small: ModelEntry, make_record: MakeRecord
) -> None:
    tried = (Trial("prefill", "micro_batch", "2048", 0.002), Trial("prefill", "micro_batch", "256", 0.003))
    wide = make_record(entry=small, micro_batch=2048, tried=tried)
    for memory in range(300 * MIB, 1200 * MIB, 50 * MIB):
        plain, taught = (planned(model=small, memory_bytes=memory, records=records) for records in ((), [wide]))
        assert len(plain.candidates) == len(taught.candidates)
        for one, other in zip(plain.candidates, taught.candidates, strict=True):
            assert one.settings.context == other.settings.context
            assert other.memory.total <= memory


def test_without_flash_attention_the_buffers_are_counted(
    planned: Planned, small: ModelEntry, make_record: MakeRecord
) -> None:
    off = make_record(entry=small, flash_attention=False, tried=WITHOUT)
    plain, taught = (chosen(planned(model=small, context=8192, records=records)) for records in ((), [off]))
    assert taught.settings.flash_attention.value is False
    assert taught.settings.flash_attention.reason == "best here: decode 111 tokens/s without it, 100 with it"
    assert taught.memory.part("compute buffers") > plain.memory.part("compute buffers")


@pytest.mark.parametrize(("context", "micro_batch"), [(2048, 256), (8192, 128), (32768, 64)])
def test_what_attention_without_flash_takes_is_bounded(
    planned: Planned, small: ModelEntry, make_record: MakeRecord, context: int, micro_batch: int
) -> None:
    """At 32,768 tokens the scores of a micro-batch of 512 take 1 GiB, those of 64 take 128 MiB."""
    off = make_record(entry=small, flash_attention=False, tried=WITHOUT)
    plain, taught = (chosen(planned(model=small, context=context, records=records)) for records in ((), [off]))
    assert taught.settings.flash_attention.value is False
    assert taught.settings.micro_batch.value == micro_batch
    assert "without flash attention they hold the scores" in taught.settings.micro_batch.reason
    assert plain.memory.total < taught.memory.total <= 1.25 * plain.memory.total


def test_keys_and_values_in_8_bits_keep_flash_attention(
    planned: Planned, small: ModelEntry, make_record: MakeRecord
) -> None:
    off = make_record(entry=small, flash_attention=False, tried=WITHOUT)
    one = chosen(planned(model=small, kv_type="q8_0", records=[off]))
    assert one.settings.flash_attention.value is True


def test_flash_attention_stays_on_where_its_absence_would_not_fit(
    planned: Planned, small: ModelEntry, make_record: MakeRecord
) -> None:
    off = make_record(entry=small, flash_attention=False, tried=WITHOUT)
    need = chosen(planned(model=small, context=32768, quantization="Q4_0")).memory.total
    one = chosen(planned(model=small, context=32768, quantization="Q4_0", memory_bytes=need, records=[off]))
    assert one.settings.flash_attention.value is True


def test_a_gpu_learns_nothing_from_the_processor(
    planned: Planned, small: ModelEntry, make_record: MakeRecord, make_host: MakeHost
) -> None:
    card = Gpu("nvidia", "RTX", memory_total_bytes=8 * GIB, memory_available_bytes=8 * GIB, usable=True)
    host = make_host(8 * GIB, gpus=(card,), build=("NEON", "CUDA"))
    plain = planned(host=host, model=small)
    assert planned(host=host, model=small, records=[make_record(host=host, entry=small)]).candidates == plain.candidates
    on_gpu = make_record(host=host, entry=small, device="gpu", decode=0.002)
    assert midpoint(chosen(planned(host=host, model=small, records=[on_gpu])).decode) == pytest.approx(500, rel=0.01)


def test_another_machine_learns_nothing(
    planned: Planned, small: ModelEntry, make_record: MakeRecord, make_host: MakeHost
) -> None:
    elsewhere = make_host(cpu=Cpu(model="another"))
    record = make_record(host=elsewhere, entry=small)
    assert planned(model=small, records=[record]).candidates == planned(model=small).candidates


def test_the_ranking_follows_the_measured_pace(
    planned: Planned, model: Callable[[str], ModelEntry], make_record: MakeRecord
) -> None:
    wanted = model("lfm2.5-1.2b-instruct")
    assert chosen(planned()).model is wanted
    crawling = make_record(entry=wanted, decode=0.5)
    slow = chosen(planned(records=[crawling]))
    assert slow.model is not wanted
    assert (midpoint(slow.decode) or 0) > 2


def test_the_run_beside_as_many_busy_cores_sets_the_threads(
    planned: Planned, small: ModelEntry, make_record: MakeRecord, tuned: Record
) -> None:
    tried = (Trial("decode", "threads", "1", 0.03), Trial("decode", "threads", "2", 0.05))
    busy = make_record(entry=small, decode=0.03, threads=1, cores_taken=1, tried=tried)
    for taken, threads in ((0, 2), (1, 1)):
        one = chosen(planned(model=small, records=[tuned, busy], cores_taken=taken))
        assert (one.settings.threads.value, one.settings.threads.grade) == (threads, "measured")
        assert one.decode.grade == "measured"


def test_records_from_nowhere_change_nothing_and_raise_nothing(
    planned: Planned, small: ModelEntry, tuned: Record
) -> None:
    odd = [replace(tuned, threads=0), replace(tuned, bytes_per_token=-1), replace(tuned, layers=0)]
    assert planned(model=small, records=odd).candidates == planned(model=small).candidates


def test_remarks_about_the_records_are_passed_on(
    make_host: MakeHost, make_match: MakeMatch, entries: tuple[ModelEntry, ...]
) -> None:
    from edgelfm.planning import plan

    made = plan(make_host(), make_match(), entries, remarks=("records.json: not JSON",))
    assert made.advice[-1] == "records.json: not JSON"


def test_many_records_do_not_slow_a_plan_down(
    planned: Planned, make_record: MakeRecord, entries: tuple[ModelEntry, ...]
) -> None:
    known = [one for one in entries if one.architecture is not None and one.architecture.name == "lfm2"]
    records = [make_record(entry=one, quantization=kind) for one in known for kind in ("Q4_0", "Q8_0")] * 4
    planned(records=records[:256])
    started = time.process_time()
    planned(records=records[:256])
    assert time.process_time() - started < 0.5


ONNX = Runtime("onnx", "onnxruntime", True, "1.32.0", ("CPUExecutionProvider",))


@pytest.fixture
def two_runtimes(
    make_host: MakeHost, make_match: MakeMatch, planned: Planned, small: ModelEntry
) -> Callable[..., Plan]:
    """A plan for the 350M on a board with llama.cpp and ONNX Runtime, and runs of it: seconds a token."""
    host = make_host()
    host = replace(host, runtimes=(*host.runtimes, ONNX))
    match = make_match(backends=("llama.cpp", "onnx"))

    def build(**seconds: float) -> Plan:
        made = [build_record(host=host, entry=small, decode=one) for one in seconds.values()]
        other = {"backend": "onnx", "quantization": "q4", "build": build_name(host, "onnx")}
        other["bytes_per_token"] = bytes_per_token(round(small.parameters * BITS["q4"] / 8), small.architecture)
        records = [replace(one, **other) if name == "onnx" else one for name, one in zip(seconds, made, strict=True)]
        return planned(host=host, match=match, model=small, records=records, drivable={"llama.cpp", "onnx"})

    return build


@pytest.mark.parametrize(
    ("llama", "onnx", "first"),
    [(0.010, 0.008, "onnx"), (0.010, 0.0095, "llama.cpp"), (0.008, 0.010, "llama.cpp")],
    ids=["clearly faster", "hardly faster", "slower"],
)
def test_the_runtime_that_was_fastest_here_comes_first(
    two_runtimes: Callable[..., Plan], llama: float, onnx: float, first: str
) -> None:
    made = two_runtimes(llama=llama, onnx=onnx)
    assert chosen(made).backend == first
    assert ("; llama.cpp was measured at 100" in chosen(made).reason) == (first == "onnx")


def test_a_runtime_stays_where_the_profile_has_it_until_both_were_measured(two_runtimes: Callable[..., Plan]) -> None:
    assert chosen(two_runtimes(onnx=0.0001)).backend == "llama.cpp"
    assert chosen(two_runtimes()).backend == "llama.cpp"
