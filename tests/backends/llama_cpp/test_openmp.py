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
        next(iter(stream))
        assert threads_of_this_process() > before, "a reply is computed by several threads"
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
        during: list[int] = []

        def elsewhere() -> None:
            for _ in lfm.stream("Tell me a story.", max_tokens=8):
                during.append(threads_of_this_process())

        other = threading.Thread(target=elsewhere)
        other.start()
        other.join()
        # That thread and the second of its team; had this one kept its own team, there would be one more.
        assert max(during) == before + 2
        assert are_threads(before)


def test_priming_and_tuning_leave_none() -> None:
    with edgelfm.load("starter", context=1024, threads=2, progress=False, tune=False) as lfm:
        before = threads_of_this_process()
        lfm.prime("Once upon a time there was a fox. " * 20, progress=False)
        assert are_threads(before)
        lfm.tune(seconds=1, progress=False)
        assert are_threads(before)
