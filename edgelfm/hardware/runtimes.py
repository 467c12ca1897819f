"""Software that can run a model: what is installed, how it was built, and the exact command for what is not.

Nothing is imported. Versions come from package metadata, builds from a child process.
"""

from __future__ import annotations

from collections.abc import Iterable

from .builds import llama_build, onnx_build, torch_build
from .host import Cpu, Gpu, Runtime, System
from .machine import Machine
from .system import system_of
from .torch_bf16 import in_words, known_ratio

# The same importable package, onnxruntime, is published under several names, one for each set of providers.
_ONNX_PACKAGES = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-qnn",
    "onnxruntime-openvino",
    "onnxruntime-directml",
    "onnxruntime-vitisai",
)
#: Providers that come as packages of their own and are registered beside those that onnxruntime was built with.
_ONNX_PLUGINS = (("onnxruntime-ep-openvino", "OpenVINOExecutionProvider"),)  # fmt: skip
# Our name of a CPU feature and llama.cpp's name of the code that uses it (ggml_backend_cpu_get_features).
_KERNELS = {
    "avx2": "AVX2", "avx_vnni": "AVX_VNNI", "avx512f": "AVX512", "avx512_vnni": "AVX512_VNNI",
    "avx512_bf16": "AVX512_BF16", "amx_int8": "AMX_INT8", "dotprod": "DOTPROD", "i8mm": "MATMUL_INT8", "sve": "SVE",
}  # fmt: skip
_REBUILD = "pip install --force-reinstall --no-cache-dir --no-deps --no-binary llama-cpp-python llama-cpp-python"


def read_runtimes(machine: Machine, cpu: Cpu, gpus: tuple[Gpu, ...]) -> tuple[Runtime, ...]:
    """Every runtime edgelfm knows, installed or not."""
    apple = system_of(machine.facts) == "darwin" and cpu.architecture == "arm64"
    return (
        _llama(machine, cpu, gpus),
        _transformers(machine, cpu),
        _onnx(machine, cpu),
        _plain(machine, "onnxruntime-genai", "onnxruntime-genai", "onnx"),
        _mlx(machine, apple),
        _plain(machine, "remote", "openai", "remote"),
        _ollama(machine),
    )


def llama_advice(cpu: Cpu, gpus: Iterable[Gpu], build: tuple[str, ...], system: System = "linux") -> str:
    """What a build of llama.cpp leaves unused on this machine, and the command that would use it."""
    built = {*build, "AMX_INT8"} if "AMX_CRASHES" in build else build  # the same compiler would build the same again
    unused = [ours for ours, theirs in _KERNELS.items() if ours in cpu.features and theirs not in built]
    cuda = "CUDA" not in build and any(gpu.vendor == "nvidia" and gpu.usable for gpu in gpus)
    if not unused and not cuda:
        return ""
    sentences = []
    if unused:
        sentences.append(f"the processor has {', '.join(unused)}, this build leaves that unused")
    if cuda:
        sentences.append("there is an NVIDIA GPU, this build has no CUDA")
    options = "-DGGML_NATIVE=on" + (" -DGGML_CUDA=on" if cuda else "")
    command = (
        f"$env:CMAKE_ARGS='{options}'; {_REBUILD}" if system == "windows" else f"CMAKE_ARGS='{options}' {_REBUILD}"
    )
    return f"{'; '.join(sentences)}: {command}"


def parse_ollama_version(text: str) -> str:
    """The version in `ollama version is 0.12.3`, or of the client where no server runs."""
    words = text.split()
    return next((word for word in reversed(words) if word[:1].isdigit() and "." in word), "")


def _llama(machine: Machine, cpu: Cpu, gpus: tuple[Gpu, ...]) -> Runtime:
    package, install = "llama-cpp-python", "pip install 'edgelfm[llama]'"
    version = machine.package(package)
    if version is None:
        return Runtime("llama.cpp", package, install=install)
    build = llama_build(machine, cpu.model)
    advice = llama_advice(cpu, gpus, build.flags, system_of(machine.facts)) if build.flags else ""
    if "illegal instruction" in build.problem:
        advice = f"build it here: {_REBUILD}"
    return Runtime("llama.cpp", package, True, version, build.flags, build.problem, install, advice)


def _transformers(machine: Machine, cpu: Cpu) -> Runtime:
    install = "pip install 'edgelfm[transformers]'"
    version, torch = machine.package("transformers"), machine.package("torch")
    if version is None:
        return Runtime("transformers", "transformers", install=install)
    if torch is None:
        return Runtime("transformers", "transformers", True, version, (), f"torch is not installed: {install}", install)
    build = torch_build(machine, cpu.model)
    makers = (package for package in ("bitsandbytes", "torchao") if machine.package(package) is not None)
    ratio = known_ratio(machine, cpu.model)
    measured = (in_words(ratio),) if ratio is not None else ()
    flags = (f"torch {torch}", *build.flags, *makers, *measured)
    return Runtime("transformers", "transformers", True, version, flags, build.problem, install)


def _onnx(machine: Machine, cpu: Cpu) -> Runtime:
    install = "pip install 'edgelfm[onnx]'"
    for package in _ONNX_PACKAGES:
        version = machine.package(package)
        if version is not None:
            build = onnx_build(machine, package, cpu.model)
            plugins = (name for plugin, name in _ONNX_PLUGINS if machine.package(plugin) and name not in build.flags)
            return Runtime("onnx", package, True, version, (*build.flags, *plugins), build.problem, install)
    return Runtime("onnx", "onnxruntime", install=install)


def _mlx(machine: Machine, apple: bool) -> Runtime:
    install = "pip install 'edgelfm[mlx]'"
    version, core = machine.package("mlx-lm"), machine.package("mlx")
    if not apple and version is None:  # it has builds for Linux too, and one that somebody installed is told
        return Runtime("mlx", "mlx-lm", reason="made for Apple silicon")
    if version is None:
        return Runtime("mlx", "mlx-lm", install=install)
    return Runtime(
        "mlx", "mlx-lm", True, version, (f"mlx {core}",) if core else (),
        "" if core else f"mlx is not installed: {install}", install,
    )  # fmt: skip


def _plain(machine: Machine, name: str, package: str, extra: str) -> Runtime:
    version = machine.package(package)
    return Runtime(name, package, version is not None, version or "", install=f"pip install 'edgelfm[{extra}]'")


def _ollama(machine: Machine) -> Runtime:
    install = {
        "darwin": "brew install ollama",
        "windows": "winget install Ollama.Ollama",
    }.get(system_of(machine.facts), "curl -fsSL https://ollama.com/install.sh | sh")
    if machine.program("ollama") is None:
        return Runtime("ollama", "ollama", install=install)
    output = machine.run("ollama", "--version")
    return Runtime("ollama", "ollama", True, parse_ollama_version(output.text) if output else "", install=install)
