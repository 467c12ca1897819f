"""No thread keeps a team for computing when its reply is done, for two teams at once make each other slow."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

import edgelfm

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP is asked on Linux only")


def threads_of_this_process() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def test_a_reply_leaves_no_threads_behind() -> None:
    with edgelfm.load("starter", context=1024, threads=2, progress=False, tune=False) as lfm:
        before = threads_of_this_process()
        stream = lfm.stream("Tell me a story.", max_tokens=20)
        next(iter(stream))
        assert threads_of_this_process() > before, "a reply is computed by several threads"
        assert stream.reply.finish_reason == "length"
        assert threads_of_this_process() == before


def test_replies_in_other_threads_leave_none_either() -> None:
    with edgelfm.load("starter", context=1024, threads=2, progress=False, tune=False) as lfm:
        before = threads_of_this_process()
        lfm.chat("Hello", max_tokens=3)
        during: list[int] = []

        def elsewhere() -> None:
            for _ in lfm.stream("Tell me a story.", max_tokens=8):
                during.append(threads_of_this_process())

        other = threading.Thread(target=elsewhere)
        other.start()
        other.join()
        # That thread and the second of its team; had this one kept its own team, there would be one more.
        assert max(during) == before + 2
        assert threads_of_this_process() == before


def test_priming_and_tuning_leave_none() -> None:
    with edgelfm.load("starter", context=1024, threads=2, progress=False, tune=False) as lfm:
        before = threads_of_this_process()
        lfm.prime("Once upon a time there was a fox. " * 20, progress=False)
        assert threads_of_this_process() == before
        lfm.tune(seconds=1, progress=False)
        assert threads_of_this_process() == before
