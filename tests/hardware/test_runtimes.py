"""Installed runtimes, how they were built, and what to type for those that are missing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgelfm.hardware.builds import llama_build, parse_system_info
from edgelfm.hardware.host import Cpu, Gpu, Runtime
from edgelfm.hardware.machine import Machine
from edgelfm.hardware.runtimes import llama_advice, parse_ollama_version, read_runtimes

Build = Callable[..., Machine]
ASK = "python: llama-cpp-python"
LLAMA = {"llama-cpp-python": "0.3.36"}
RTX = Gpu("nvidia", "RTX", usable=True)


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("CPU : SSE3 = 1 | AVX2 = 1 | AVX512 = 0 | REPACK = 1 | ", ("SSE3", "AVX2", "REPACK")),
        ("CUDA : ARCHS = 870 | USE_GRAPHS = 1 | CPU : NEON = 1 | ", ("CUDA", "USE_GRAPHS", "NEON")),
        ("Metal : EMBED_LIBRARY = 1 | CPU : NEON = 1 | ", ("Metal", "EMBED_LIBRARY", "NEON")),
        ("", ()),
        ("| = 1 |", ()),
    ],
)
def test_system_info(text: str, flags: tuple[str, ...]) -> None:
    assert parse_system_info(text) == flags


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("# exit -4\n", "compiled for another processor"),
        ("# exit 1\n", "it cannot be loaded: exit status 1"),
        ("CPU : AVX2 = 1 | ", ""),
    ],
)
def test_a_build_that_dies(build_machine: Build, answer: str, problem: str) -> None:
    build = llama_build(build_machine(packages=LLAMA, commands={ASK: answer}), "a CPU")
    assert problem in build.problem
    assert bool(build.problem) == bool(problem)


def find(name: str, machine: Machine, cpu: Cpu | None = None, gpus: tuple[Gpu, ...] = ()) -> Runtime:
    return next(runtime for runtime in read_runtimes(machine, cpu or Cpu(), gpus) if runtime.name == name)


def test_an_illegal_instruction_says_to_build_it_here(build_machine: Build) -> None:
    runtime = find("llama.cpp", build_machine(packages=LLAMA, commands={ASK: "# exit -4\n"}))
    assert runtime.installed
    assert "illegal instruction" in runtime.reason
    assert runtime.advice.startswith("build it here: pip install --force-reinstall")


@pytest.mark.parametrize(
    ("features", "gpus", "build", "words"),
    [
        (("avx2", "avx512_vnni"), (), ("AVX2",), ["avx512_vnni", "-DGGML_NATIVE=on"]),
        (("dotprod", "i8mm"), (), ("DOTPROD",), ["i8mm"]),
        (("avx2",), (RTX,), ("AVX2",), ["no CUDA", "-DGGML_CUDA=on"]),
        (("avx2",), (RTX,), ("CUDA", "AVX2"), []),
        (("avx2",), (Gpu("nvidia", "RTX", usable=False),), ("AVX2",), []),
        (("neon", "sme"), (), ("NEON",), []),
    ],
)
def test_advice(features: tuple[str, ...], gpus: tuple[Gpu, ...], build: tuple[str, ...], words: list[str]) -> None:
    advice = llama_advice(Cpu(features=features), gpus, build)
    assert all(word in advice for word in words)
    assert bool(advice) == bool(words)


def test_nothing_installed(build_machine: Build) -> None:
    runtimes = read_runtimes(build_machine(), Cpu(), ())
    assert not any(runtime.installed for runtime in runtimes)
    commands = {runtime.name: runtime.install for runtime in runtimes}
    assert commands["llama.cpp"] == "pip install 'edgelfm[llama]'"
    assert commands["onnx"] == "pip install 'edgelfm[onnx]'"
    assert commands["mlx"] == ""  # not on this machine


def test_mlx_is_offered_on_apple_silicon(build_machine: Build) -> None:
    mac = build_machine(system="Darwin", machine="arm64")
    assert find("mlx", mac, Cpu(architecture="arm64")).install == "pip install 'edgelfm[mlx]'"


def test_transformers_needs_torch(build_machine: Build) -> None:
    alone = find("transformers", build_machine(packages={"transformers": "5.23.0"}))
    assert "torch is not installed" in alone.reason
    both = find("transformers", build_machine(packages={"transformers": "5.23.0", "torch": "2.9.1"}))
    assert (both.reason, both.build) == ("", ("torch 2.9.1",))


def test_onnxruntime_under_any_of_its_names(build_machine: Build) -> None:
    providers = {"python: onnxruntime-qnn": "QNNExecutionProvider\nCPUExecutionProvider\n"}
    runtime = find("onnx", build_machine(packages={"onnxruntime-qnn": "1.23.0"}, commands=providers))
    assert (runtime.package, runtime.build) == ("onnxruntime-qnn", ("QNNExecutionProvider", "CPUExecutionProvider"))


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("ollama version is 0.12.6\n", "0.12.6"),
        ("Warning: could not connect to a running Ollama instance\nWarning: client version is 0.12.3\n", "0.12.3"),
        ("", ""),
    ],
)
def test_ollama(text: str, version: str) -> None:
    assert parse_ollama_version(text) == version


def test_a_build_whose_amx_code_crashes_is_not_to_be_built_again() -> None:
    cpu = Cpu(features=("avx2", "amx_int8"))
    assert "amx_int8" in llama_advice(cpu, (), ("AVX2",))
    assert llama_advice(cpu, (), ("AVX2", "AMX_CRASHES")) == ""
