"""Speeds by what was measured: narrow for the very thing, honest for others, silent where nothing speaks."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelfm.planning.calibration import Evidence, Subject, evidence, kernel_family
from edgelfm.planning.plan import SpeedEstimate
from edgelfm.planning.records import Record, Timing, Trial
from edgelfm.planning.speed import midpoint

MakeRecord = Callable[..., Record]
BANDWIDTH, PER_LAYER = 27e9, 9e-5
SIZES = {"350m Q4_0": 222e6, "350m Q8_0": 389e6, "1.2b Q4_0": 706e6, "1.2b Q8_0": 1258e6, "2.6b Q8_0": 2750e6}


def seconds(read: float, layers: int = 16) -> float:
    return read / BANDWIDTH + layers * PER_LAYER


def subject(read: float = 706e6, model: str = "lfm2-16x2048-1", quantization: str = "Q4_0") -> Subject:
    return Subject(model, quantization, 16, round(read), parameters=1_170_000_000)


def evidenced(records: Sequence[Record], *, build: str | None = None, cores_taken: int = 0) -> Evidence:
    return evidence(
        records,
        host=records[0].host,
        backend="llama.cpp",
        build=records[0].build if build is None else build,
        device="cpu",
        cores_taken=cores_taken,
    )


def sized(make_record: MakeRecord, read: float, error: float = 0.0, **given: object) -> Record:
    return make_record(
        model=f"lfm2-16x0-{read:.0f}", bytes_per_token=round(read), decode=seconds(read) * (1 + error), **given
    )


def within(speed: SpeedEstimate | None, value: float) -> bool:
    assert speed is not None
    assert speed.low is not None
    assert speed.high is not None
    return speed.low <= value <= speed.high


def width(speed: SpeedEstimate | None) -> float:
    """How far the range reaches from its middle, as a share."""
    assert speed is not None
    assert speed.low is not None
    assert speed.high is not None
    return float((speed.high / speed.low) ** 0.5 - 1)


@pytest.mark.parametrize(
    ("quantization", "read", "measured"), [("Q4_1", 235e6, 35.0), ("Q4_K_M", 227e6, 85.0), ("Q8_0", 377e6, 49.4)]
)
def test_a_run_in_one_quantization_leaves_room_for_the_kernels_of_another(
    make_record: MakeRecord, quantization: str, read: float, measured: float
) -> None:
    """A 350M on one thread of an EPYC, where arithmetic and not memory sets the pace; in Q4_0 it wrote 64 tokens/s."""
    known = make_record(model="lfm2-16x1024-1", bytes_per_token=217_000_000, decode=1 / 64)
    speed = evidenced([known]).decode(subject(read, "lfm2-16x1024-1", quantization))
    assert within(speed, measured)
    assert speed.grade == "calibrated"


def test_a_file_of_other_size_under_the_same_name_is_not_what_was_measured(make_record: MakeRecord) -> None:
    """One exporter's q4 keeps embeddings in 16 bits, another's does not."""
    own = make_record(decode=0.010)
    deeper, other = (
        evidenced([own]).decode(subject(own.bytes_per_token * factor, own.model)) for factor in (1.1, 1.6)
    )  # fmt: skip
    assert deeper is not None
    assert other is not None
    assert (deeper.grade, other.grade) == ("measured", "calibrated")
    assert width(other) > width(deeper)
    assert "of 225 MB a token, where 360 are read" in other.reason


def test_what_was_measured_itself_is_told_with_its_quartiles(make_record: MakeRecord) -> None:
    noisy = make_record(decode=0.010)
    noisy = replace(noisy, decode=Timing(0.010, 0.0095, 0.0130, 9))
    speed = evidenced([noisy]).decode(subject(noisy.bytes_per_token, noisy.model))
    assert speed is not None
    assert speed.grade == "measured"
    assert speed.low == pytest.approx(1 / 0.0130)
    assert speed.high == pytest.approx(1 / 0.010 * 1.1), "never nearer than 10 %: heat and neighbours come and go"
    assert speed.reason == "100.0 tokens/s after 1024 tokens of context on 2026-11-24"


def test_a_run_at_another_depth_is_corrected_by_the_bytes_of_its_context(make_record: MakeRecord) -> None:
    shallow = make_record(bytes_per_token=700_000_000, decode=seconds(700e6), depth=0)
    speed = evidenced([shallow]).decode(subject(725e6, shallow.model))
    assert speed is not None
    assert speed.grade == "measured"
    assert midpoint(speed) == pytest.approx(1 / seconds(725e6), rel=0.01)


@pytest.mark.parametrize("pair", [("350m Q4_0", "1.2b Q8_0"), ("350m Q8_0", "1.2b Q8_0"), ("350m Q4_0", "1.2b Q4_0")])
def test_two_runs_predict_other_sizes(pair: tuple[str, str], make_record: MakeRecord) -> None:
    known = evidenced([sized(make_record, SIZES[name]) for name in pair])
    for read in SIZES.values():
        if sized(make_record, read).model in {one.model for one in known.records}:
            continue
        speed = known.decode(subject(read))
        assert speed is not None
        assert speed.grade == "calibrated"
        assert midpoint(speed) == pytest.approx(1 / seconds(read), rel=0.05)
        assert width(speed) >= 0.10
        assert "2 runs here" in speed.reason


def test_where_quantizations_are_computed_at_different_speeds_the_same_one_tells_most(make_record: MakeRecord) -> None:
    """Q4_0 at a third of the memory's bandwidth and Q8_0 at half of it, as a 2-core Xeon has it."""
    small = make_record(model="small", quantization="Q4_0", bytes_per_token=222_000_000, decode=0.0274)
    large = make_record(model="large", quantization="Q8_0", bytes_per_token=1_258_000_000, decode=0.0900)
    both = evidenced([small, large])
    for read, quantization, true in ((706e6, "Q4_0", 12.7), (389e6, "Q8_0", 29.9)):
        speed = both.decode(subject(read, quantization=quantization))
        assert within(speed, true)
        assert midpoint(speed) == pytest.approx(true, rel=0.2)
    # Of one that nobody ran here less is promised.
    unknown = both.decode(subject(706e6, quantization="Q4_K_M"))
    assert width(unknown) > 0.15


def test_one_run_predicts_with_a_wider_range(make_record: MakeRecord) -> None:
    one = evidenced([sized(make_record, 222e6)]).decode(subject(706e6))
    two = evidenced([sized(make_record, 222e6), sized(make_record, 1258e6)]).decode(subject(706e6))
    assert within(one, 1 / seconds(706e6))
    assert width(one) >= 0.25
    assert width(two) < width(one)


def test_the_range_grows_with_the_distance_from_what_was_measured(make_record: MakeRecord) -> None:
    known = evidenced([sized(make_record, 222e6), sized(make_record, 260e6)])
    assert width(known.decode(subject(240e6))) < width(known.decode(subject(2750e6)))


def test_a_restless_machine_is_predicted_with_a_wider_range(make_record: MakeRecord) -> None:
    calm = [sized(make_record, 222e6), sized(make_record, 1258e6)]
    restless = [replace(one, decode=Timing(at, at * 0.8, at * 1.2, 9)) for one in calm for at in (one.decode.seconds,)]
    speeds = [evidenced(records).decode(subject()) for records in (calm, restless)]
    assert width(speeds[1]) > 1.5 * width(speeds[0])
    middles = [midpoint(speed) for speed in speeds if speed is not None]
    assert middles[1] == pytest.approx(middles[0], rel=0.03), "but not by much otherwise"


def test_runs_of_another_build_count_with_a_wider_range(make_record: MakeRecord) -> None:
    runs = [sized(make_record, 222e6), sized(make_record, 1258e6)]
    now, later = evidenced(runs), evidenced(runs, build="0.4.0-1234567890")
    assert width(now.decode(subject())) < width(later.decode(subject()))
    own = later.decode(subject(222e6, runs[0].model))
    assert own is not None
    assert own.grade == "calibrated"
    assert "now it is 0.4.0-1234567890" in own.reason


def test_the_run_with_as_many_cores_taken_as_now_is_believed(make_record: MakeRecord) -> None:
    quiet, busy = make_record(decode=0.010), make_record(decode=0.020, cores_taken=1)
    wanted = subject(quiet.bytes_per_token, quiet.model)
    assert midpoint(evidenced([quiet, busy]).decode(wanted)) == pytest.approx(100, rel=0.01)  # type: ignore[arg-type]
    speed = evidenced([quiet, busy], cores_taken=1).decode(wanted)
    assert speed is not None
    assert midpoint(speed) == pytest.approx(50, rel=0.01)
    assert speed.grade == "measured"
    assert "while other programs took 1 core" in speed.reason


def test_a_run_beside_other_programs_tells_little_of_a_quiet_machine(make_record: MakeRecord) -> None:
    busy = make_record(decode=0.020, cores_taken=1)
    speed = evidenced([busy]).decode(subject(busy.bytes_per_token, busy.model))
    assert speed is not None
    assert speed.grade == "calibrated"
    assert width(speed) > 0.4
    assert "other programs took 1 core then, now no core" in speed.reason


def test_of_two_runs_of_one_thing_the_latest_is_believed(make_record: MakeRecord) -> None:
    old, new = make_record(decode=0.02), make_record(decode=0.01, measured_at="2026-12-01T00:00:00+00:00")
    assert evidenced([old, new]).records == evidenced([new, old]).records == (new,)


def test_other_hosts_backends_and_devices_say_nothing(make_record: MakeRecord) -> None:
    own = make_record()
    others = [replace(own, host="other"), replace(own, backend="mlx"), replace(own, device="gpu")]
    assert evidenced([own, *others]).records == (own,)
    none = evidence(others, host=own.host, backend="llama.cpp", build=own.build, device="cpu")
    assert none.decode(subject()) is None
    assert none.prefill(subject()) is None


def test_with_other_threads_only_what_was_tried_is_told(make_record: MakeRecord) -> None:
    tried = (Trial("decode", "threads", "4", 0.011), Trial("decode", "threads", "2", 0.022))
    one = make_record(decode=0.010, tried=tried)
    wanted = subject(one.bytes_per_token, one.model)
    assert midpoint(evidenced([one]).decode(wanted, threads=2)) == pytest.approx(50, rel=0.01)  # type: ignore[arg-type]
    assert evidenced([one]).decode(wanted, threads=3) is None


def test_prefill_goes_with_the_parameters_within_one_family_of_quantizations(make_record: MakeRecord) -> None:
    known = evidenced([make_record(prefill=0.003, quantization="Q4_K_M")])  # 354 million parameters
    speed = known.prefill(subject(quantization="Q4_K_S"))
    assert speed is not None
    assert (speed.grade, midpoint(speed)) == ("calibrated", pytest.approx(354e6 / 1170e6 / 0.003, rel=0.01))
    assert "236 GFLOP/s in Q4_K, by one run here" in speed.reason
    assert known.prefill(subject(quantization="Q8_0")) is None, "other kernels, another pace"


def test_prefill_that_was_measured_follows_the_threads_and_the_micro_batch(make_record: MakeRecord) -> None:
    tried = (
        Trial("prefill", "threads_prefill", "4", 0.004), Trial("prefill", "threads_prefill", "2", 0.008),
        Trial("prefill", "micro_batch", "256", 0.004), Trial("prefill", "micro_batch", "64", 0.005),
    )  # fmt: skip
    one = make_record(prefill=0.004, tried=tried)
    known, wanted = evidenced([one]), subject(one.bytes_per_token, one.model)

    def pace(threads: int | None, micro_batch: int) -> float | None:
        speed = known.prefill(wanted, threads, micro_batch)
        return None if speed is None else midpoint(speed)

    assert pace(None, 256) == pytest.approx(250, rel=0.01)
    assert pace(2, 256) == pytest.approx(125, rel=0.01)
    assert pace(2, 64) == pytest.approx(100, rel=0.01)
    assert pace(None, 128) == pytest.approx(250, rel=0.01), "not tried; taken to make little difference"
    assert pace(3, 256) is None


def test_families_are_what_is_computed_alike() -> None:
    names = ("Q4_0", "Q4_K_M", "Q4_K_S", "Q8_0", "4bit", "q4")
    assert [kernel_family(name) for name in names] == ["Q4_0", "Q4_K", "Q4_K", "Q8_0", "4bit", "q4"]


def test_ranges_hold_the_true_speed_nine_times_in_ten(make_record: MakeRecord) -> None:
    draw = random.Random(3)
    held = []
    for _ in range(300):
        known = draw.sample(sorted(SIZES.values()), draw.choice([1, 2, 2, 3]))
        records = evidenced([sized(make_record, read, draw.gauss(0, 0.05)) for read in known])
        for read in (read for read in SIZES.values() if read not in known):
            true = 1 / (seconds(read) * (1 + draw.gauss(0, 0.05)))
            held.append(within(records.decode(subject(read)), true))
    assert sum(held) / len(held) >= 0.9


@settings(deadline=None)
@given(
    times=st.lists(
        st.tuples(
            st.lists(st.floats(0, 1e6), min_size=3, max_size=3), st.booleans(),
            st.integers(-1, 10**19), st.integers(-1, 300),
        ),
        min_size=1, max_size=6,
    ),
    read=st.integers(0, 10**13),
    parameters=st.integers(0, 10**13),
)  # fmt: skip
def test_odd_records_never_raise_and_never_give_nonsense(
    times: list[tuple[list[float], bool, int, int]], read: int, parameters: int, make_record: MakeRecord
) -> None:
    records = []
    for index, (drawn, in_order, bytes_, layers) in enumerate(times):
        low, middle, high = sorted(drawn) if in_order else drawn
        timing = Timing(middle, low, high, 1)
        one = replace(make_record(), model=str(index), bytes_per_token=bytes_, layers=layers)
        records.append(replace(one, decode=timing, prefill=timing))
    known = evidenced(records)
    asked = Subject("1", "Q4_0", 16, read, parameters)
    for speed in (known.decode(asked), known.decode(asked, 2), known.prefill(asked), known.prefill(asked, 2, 64)):
        if speed is not None:
            assert speed.low is not None
            assert speed.high is not None
            assert 0 < speed.low <= speed.high < float("inf")
            assert speed.grade in ("measured", "calibrated")
