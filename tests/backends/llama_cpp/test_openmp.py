"""No thread keeps a team for computing when its reply is done, for two teams at once make each other slow."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest

import edgelfm
from edgelfm.backends.llama_cpp import openmp

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP is asked on Linux only")


@pytest.fixture(autouse=True)
def as_on_a_quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside other programs a reply gives threads back by itself."""
    monkeypatch.setattr("edgelfm.backends.llama_cpp.session.pace", lambda *given: None)


def threads_of_this_process() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def are_threads(count: int) -> bool:
    """Whether so many are left. They were told to end, which takes its time where other programs have the processor."""
    until = time.monotonic() + 10
    while threads_of_this_process() != count and time.monotonic() < until:
        time.sleep(0.005)
    return threads_of_this_process() == count


def test_a_reply_leaves_no_threads_behind() -> None:
    with edgelfm.load("starter", context=1024, threads=2, progress=False, tune=False) as lfm:
        before = threads_of_this_process()
        stream = lfm.stream("Tell me a story.", max_tokens=20)
        pieces = iter(stream)
        for _ in range(3):  # the first is sampled from what the prompt left, which other threads may have computed
            next(pieces)
        assert are_threads(before + 1), "a reply is computed by this thread and another"
        assert stream.reply.finish_reason == "length"
        assert are_threads(before)


def test_resting_before_there_is_a_model_is_not_all_that_it_ever_does(monkeypatch: pytest.MonkeyPatch) -> None:
    openmp._pause.cache_clear()
    with monkeypatch.context() as earlier:
        earlier.delitem(sys.modules, "llama_cpp", raising=False)
        openmp.rest()
    assert openmp._pause.cache_info().currsize == 0, "it would be remembered that there is no OpenMP"


def test_replies_in_other_threads_leave_none_either() -> None:
    with edgelfm.load("starter", context=1024, threads=2, progress=False, tune=False) as lfm:
        before = threads_of_this_process()
        lfm.chat("Hello", max_tokens=3)
        assert are_threads(before)
        during: list[bool] = []

        def elsewhere() -> None:
            for number, _ in enumerate(lfm.stream("Tell me a story.", max_tokens=8)):
                if number == 2:
                    # This thread and the second of its team; had the other one kept its team, there would be one more.
                    during.append(are_threads(before + 2))

        other = threading.Thread(target=elsewhere)
        other.start()
        other.join()
        assert during == [True]
        assert are_threads(before)


def test_priming_and_tuning_leave_none() -> None:
    with edgelfm.load("starter", context=1024, threads=2, progress=False, tune=False) as lfm:
        before = threads_of_this_process()
        lfm.prime("Once upon a time there was a fox. " * 20, progress=False)
        assert are_threads(before)
        lfm.tune(seconds=1, progress=False)
        assert are_threads(before)
