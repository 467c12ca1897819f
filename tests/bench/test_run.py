"""Turns, rounds and reports: with runtimes that are made up, and with edgelfm in processes of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgelfm.bench.child import Child
from edgelfm.bench.gate import Gate
from edgelfm.bench.own import child
from edgelfm.bench.progress import Benching, Forecast
from edgelfm.bench.protocol import QUICK, measure
from edgelfm.bench.report import BenchReport
from edgelfm.bench.run import run
from edgelfm.bench.statistics import find, rates
from edgelfm.errors import BackendError
from edgelfm.hardware.host import Disk, Host, OperatingSystem
from edgelfm.models.entry import Role
from edgelfm.monitor.memory import read_process
from edgelfm.planning.plan import Candidate


def bench(*runners: Any, root: Path = Path("/"), **options: Any) -> BenchReport:
    settings = options.pop("settings", QUICK)
    gate = Gate(0, root=Path("/nowhere"), wait=lambda _: None)
    return run(runners, settings, host=Host(), command="edgelfm bench", gate=gate, root=root, **options)


def test_runtimes_take_turns_and_the_order_alternates(scripted: Any) -> None:
    diary: list[str] = []
    report = bench(scripted("a", diary), scripted("b", diary))
    assert [line for line in diary if line.endswith("start")] == [
        "a: start", "b: start", "b: start", "a: start", "a: start", "b: start",
    ]  # fmt: skip
    starts_and_stops = [line.split(": ") for line in diary if line.endswith(("start", "stop"))]
    open_now: set[str] = set()
    for name, what in starts_and_stops:
        (open_now.add if what == "start" else open_now.discard)(name)
        assert len(open_now) <= 1, "two models were in memory at once"
    assert report.interleaved
    for result in report.results:
        assert {one.kind: len(one.repetitions) for one in result.series} == {
            "load": 3, "first_token_cold": 3, "prefill": 3, "decode": 3, "first_token_warm": 3,
        }  # fmt: skip


def test_times_are_kept_and_rates_follow_from_them(scripted: Any) -> None:
    report = bench(scripted("a"), bandwidth=lambda: 100_000.0)
    result = report.results[0]
    decode, prefill = find(result, "decode"), find(result, "prefill")
    assert decode is not None
    assert prefill is not None
    assert (rates(decode).median, rates(prefill).median) == (50.0, 1000.0)  # type: ignore[union-attr]
    assert result.bandwidth_share == pytest.approx(1000 * 50 / 100_000)


def test_the_bandwidth_is_measured_every_round_and_the_middle_one_counts(scripted: Any) -> None:
    answers = iter([2e9, 90e9, 3e9])
    assert bench(scripted("a"), bandwidth=lambda: next(answers)).bandwidth_bytes_per_second == 3e9


def test_one_that_fails_is_told_of_and_the_rest_goes_on(scripted: Any, broken: Any) -> None:
    seen: list[Benching] = []
    report = bench(broken, scripted("good"), progress=seen.append)
    failed, good = report.results
    assert failed.failure == "no kernel for this\n  hint: update it"
    assert find(failed, "prefill") is not None
    assert broken.diary.count("broken: start") == 1
    assert broken.diary[-1] == "broken: stop"
    assert not good.failure
    assert len(find(good, "decode").repetitions) == 3  # type: ignore[union-attr]
    assert seen[-1].done == seen[-1].total - 1


@pytest.mark.parametrize("when", ["start", "decode 128", "first_token_warm"])
def test_ctrl_c_midway_leaves_a_report_of_what_was_done(scripted: Any, when: str) -> None:
    first = scripted("first")
    second = scripted("second", breaks_at=when, error=KeyboardInterrupt())
    report = bench(first, second)
    assert report.interrupted
    assert second.diary[-1] == "second: stop"
    assert len(find(report.results[0], "decode").repetitions) == 1  # type: ignore[union-attr]
    assert (find(report.results[1], "load") is None) is (when == "start")
    assert not report.results[1].failure


def test_energy_of_a_decode_is_without_the_prefill_before_it(scripted: Any, tree: Any) -> None:
    rapl = "sys/class/powercap/intel-rapl:0"
    used = [0.0]

    def use(joules: float) -> None:
        used[0] += joules
        tree({f"{rapl}/energy_uj": round(used[0] * 1e6)})

    class Metered(scripted):  # type: ignore[misc]
        def prefill(self, tokens: int) -> float:
            use(0.5 * tokens)
            return float(super().prefill(tokens))

        def decode(self, depth: int, tokens: int) -> float:
            use(0.5 * depth + 2.0 * tokens)
            return float(super().decode(depth, tokens))

    root = tree({f"{rapl}/name": "package-0", f"{rapl}/max_energy_range_uj": 10**12, f"{rapl}/energy_uj": 0})
    result = bench(Metered("a"), root=root, settings=replace(QUICK, depths=(64, 128))).results[0]
    assert result.subject.energy_source == "RAPL package"
    assert [one.energy_joules for one in find(result, "prefill").repetitions] == [64.0] * 3  # type: ignore[union-attr]
    for depth in (64, 128):
        series = find(result, "decode", depth)
        assert series is not None
        assert [one.energy_joules for one in series.repetitions] == pytest.approx([64.0] * 3)
    assert find(result, "first_token_warm").repetitions[0].energy_joules is None  # type: ignore[union-attr]


def test_a_report_does_not_tell_whose_machine_it_is(scripted: Any) -> None:
    host = Host(os=OperatingSystem(boot_id="4c1b"), disk=Disk(path=str(Path.home() / ".cache" / "huggingface")))
    report = run([scripted("one")], QUICK, host=host, command="edgelfm bench", gate=Gate(0.0))
    assert report.host.disk.path == "~/.cache/huggingface"
    assert report.host.os.boot_id == ""


def test_a_forecast_learns_from_what_was_done() -> None:
    forecast = Forecast([("a", "load"), ("b", "load"), ("a", "decode"), ("b", "sustained")], {"sustained": 60.0})
    assert forecast.seconds() is None
    forecast.done(("a", "load"), 2.0)
    assert forecast.seconds() == 2.0 + 2.0 + 60.0
    forecast.done(("a", "decode"), 8.0)
    assert forecast.seconds() == 2.0 + 60.0
    assert forecast.drop("b") == 2
    assert forecast.seconds() == 0.0


def test_edgelfm_in_its_own_process(tiny: Candidate, tiny_files: Mapping[Role, Path]) -> None:
    report = bench(
        child(tiny, tiny_files), settings=replace(QUICK, prompt=64, tokens=8, depths=(16, 40), sustained=0.2)
    )
    result = report.results[0]
    assert not result.failure
    assert [(one.kind, one.tokens, one.depth) for one in result.series] == [
        ("load", 0, 0),
        ("first_token_cold", 64, 0),
        ("prefill", 64, 0),
        ("decode", 8, 16),
        ("decode", 8, 40),
        ("first_token_warm", 32, 32),
        ("first_token_after_edit", 32, 32),
    ]
    assert all(len(one.repetitions) == 3 for one in result.series)
    assert all(again.seconds > 0 for one in result.series for again in one.repetitions)
    assert result.sustained
    assert all(one.seconds <= report.seconds for one in result.sustained)
    assert result.peak_memory_bytes is not None
    assert result.peak_memory_bytes > 10 * 1024**2
    assert result.subject.sha256
    assert result.subject.file_bytes == tiny_files["weights"].stat().st_size
    total = sum(again.seconds for one in result.series for again in one.repetitions)
    assert total < report.seconds


def test_a_runtime_is_a_process_that_ends(tiny: Candidate, tiny_files: Mapping[Role, Path]) -> None:
    runner = child(tiny, tiny_files)
    runner.start()
    pid = runner.pid
    assert pid is not None
    assert pid != os.getpid()
    assert read_process(pid) is not None
    assert all(measure(runner, step) for step in replace(QUICK, prompt=64, tokens=4, depths=(8,)).steps())
    runner.stop()
    assert read_process(pid) is None
    runner.stop()
    with pytest.raises(BackendError, match="not running"):
        runner.prefill(8)


def test_a_file_that_cannot_be_opened_is_a_reason(tiny: Candidate, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(b"GGUF" + bytes(100))
    failure = bench(child(tiny, {"weights": damaged})).results[0].failure
    assert "damaged.gguf" in failure


def test_a_process_that_dies_says_how(tmp_path: Path) -> None:
    runner = _child_of(
        tmp_path, "import os, sys; print('out of luck', file=sys.stderr); sys.stdin.readline(); os.abort()"
    )
    with pytest.raises(BackendError, match=r"was ended by SIGABRT: out of luck"):
        runner.start()
    runner.stop()


def test_a_process_that_hangs_is_given_up(tmp_path: Path) -> None:
    runner = _child_of(tmp_path, "import time; time.sleep(600)", timeout=0.3)
    begun = time.monotonic()
    with pytest.raises(BackendError, match="no answer"):
        runner.start()
    assert time.monotonic() - begun < 30
    assert runner.pid is None


def test_what_libraries_print_does_not_come_between(tmp_path: Path) -> None:
    runner = _child_of(
        tmp_path,
        """
        import os
        from edgelfm.bench.child import serve
        from edgelfm.bench.report import Subject
        class Loud:
            load_seconds = 0.5
            def start(self):
                print("loading…"); os.write(1, b"native chatter\\n")
                return Subject("loud", "1", "", "", None, "", (("threads", "2"),), 2)
            def prefill(self, tokens):
                raise ValueError(f"{tokens} is too many")
            def stop(self): pass
        serve(lambda options: Loud())
        """,
    )
    assert runner.start().settings == (("threads", "2"),)
    assert runner.load_seconds == 0.5
    with pytest.raises(BackendError, match="ValueError: 7 is too many"):
        runner.prefill(7)
    runner.stop()


def _child_of(folder: Path, code: str, **options: Any) -> Child:
    import textwrap

    (folder / "made_up_runtime.py").write_text(textwrap.dedent(code), encoding="utf-8")
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH", ""))))
    return Child("made up", "made_up_runtime", {}, environment={"PYTHONPATH": path}, **options)
