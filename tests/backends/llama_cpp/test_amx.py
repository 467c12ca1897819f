"""A processor with a matrix unit, and a build of llama.cpp that crashes on it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgelfm.backends.llama_cpp import amx
from edgelfm.backends.llama_cpp.library import library_folder


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Run in a fresh process, for a library asks for AMX once in its life."""
    before = "from pathlib import Path; from edgelfm.backends.llama_cpp import amx, library; "
    folder = "libraries = library.library_folder(); "
    return subprocess.run([sys.executable, "-c", before + folder + code], capture_output=True, text=True, timeout=120)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGELFM_CACHE", str(tmp_path))
    amx._works.cache_clear()
    return tmp_path


def test_the_library_is_usable_whatever_its_amx_code_does() -> None:
    code = "llama = library.library(); amx._probe(str(libraries))"
    assert python(code).returncode == 0


def test_it_is_the_library_in_use_that_does_without() -> None:
    code = "import llama_cpp; amx.keep_off(libraries); print(open('/proc/self/maps').read())"
    mapped = {Path(line.split()[-1]).name for line in python(code).stdout.splitlines() if "libggml-cpu" in line}
    assert len(mapped) == 1  # a second copy would have a state of its own


def test_amx_can_be_kept_off_without_a_word() -> None:
    done = python("print(amx.keep_off(libraries), amx._amx_buffer(amx._Ggml(libraries)))")
    assert (done.stdout, done.stderr) == ("True None\n", "")


def test_keeping_amx_off_leaves_the_signal_stack_of_this_thread_alone() -> None:
    done = python(
        "import faulthandler; faulthandler.enable(); print(amx.keep_off(libraries)); faulthandler._stack_overflow()"
    )
    assert done.stdout == "True\n"
    assert "Current thread" in done.stderr  # written by a handler that needs its stack


def test_the_verdict_is_kept_for_one_build(cache: Path) -> None:
    verdict = amx.crashes(library_folder())
    kept = list(cache.glob("amx-*.json"))
    if amx._has_amx():
        assert json.loads(kept[0].read_text())["works"] is not verdict
    else:
        assert kept == []
        assert verdict is False


def test_a_damaged_verdict_is_made_again(cache: Path) -> None:
    before = amx.crashes(library_folder())
    for file in cache.glob("amx-*.json"):
        file.write_text("{")
    amx._works.cache_clear()
    assert amx.crashes(library_folder()) is before


@pytest.mark.parametrize("text", ["flags : fpu avx2", ""])
def test_other_processors_are_not_probed(
    text: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other:
        @staticmethod
        def here() -> Other:
            return Other()

        def read(self, path: str) -> str:
            return text

    monkeypatch.setattr(amx, "Machine", Other)
    assert amx.crashes(library_folder()) is False
    assert list(cache.iterdir()) == []
