"""The tiny LFM2 as a graph in every layout that edgelfm reads, and sessions on them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgelfm.backends.onnx.loading import load
from edgelfm.backends.onnx.session import OnnxSession
from edgelfm.planning.plan import Settings
from tests.backends.conftest import settings
from tests.tiny_folder import write_tiny_lfm2_folder

Open = Callable[..., OnnxSession]
#: The layouts with the same weights in 32 bits, and where their keys and values lie: in one buffer, or in two by turns.
LAYOUTS = ("published", "plain", "genai")
#: The published layout with its weights stored in less.
SMALLER = ("half", "eight_bits", "dynamic")


@pytest.fixture(scope="session", autouse=True)
def onnx_is_installed() -> None:
    """It has no wheels for some systems that edgelfm runs on."""
    pytest.importorskip("onnxruntime", reason="needs: pip install 'edgelfm[onnx]'")
    pytest.importorskip("onnx", reason="needs: pip install onnx")


@pytest.fixture(scope="session")
def published(tiny_folder: Path) -> Path:
    """As in LiquidAI/*-ONNX: attention writes behind the past in the same memory."""
    from tests.onnx_export import write_published_onnx

    return write_published_onnx(tiny_folder, tiny_folder.with_name("tiny-lfm2-onnx"))


@pytest.fixture(scope="session")
def plain(tiny_folder: Path) -> Path:
    """The same with attention by Concat, MatMul and Softmax, positions given, and logits of the last token only."""
    from tests.onnx_export import write_published_onnx

    folder = tiny_folder.with_name("tiny-lfm2-plain")
    return write_published_onnx(tiny_folder, folder, attention="plain", logits_to_keep=True)


@pytest.fixture(scope="session")
def half(tiny_folder: Path) -> Path:
    """The published layout in 16 bits."""
    from tests.onnx_export import write_published_onnx

    folder = tiny_folder.with_name("tiny-lfm2-fp16")
    return write_published_onnx(tiny_folder, folder, dtype="float16", name="model_fp16.onnx")


@pytest.fixture(scope="session")
def eight_bits(tiny_folder: Path) -> Path:
    """The published layout with its weights in 8 bits."""
    from tests.onnx_export import write_published_onnx

    folder = tiny_folder.with_name("tiny-lfm2-q8")
    return write_published_onnx(tiny_folder, folder, bits=8, name="model_q8.onnx")


@pytest.fixture(scope="session")
def dynamic(published: Path) -> Path:
    """The same as the scripts of transformers.js make it, where what the weights multiply is rounded to 8 bits too."""
    from tests.onnx_export import quantize_dynamically

    folder = shutil.copytree(published.parents[1], published.parents[1].with_name("tiny-lfm2-dynamic"))
    return quantize_dynamically(published, folder / "onnx" / "model_quantized.onnx")


@pytest.fixture(scope="session", params=["fused", "plain"])
def attention_alone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers that attend, so the state can be cut anywhere; two heads of keys, which lie apart in memory."""
    from tests.onnx_export import write_published_onnx

    folder = tmp_path_factory.mktemp("attention")
    source = write_tiny_lfm2_folder(folder / "source", layers="aa", heads=4, kv_heads=2)
    return write_published_onnx(source, folder / "onnx-folder", attention=request.param)


@pytest.fixture(scope="session")
def genai(tiny_folder: Path) -> Path:
    """A folder as onnxruntime-genai's own builder makes it."""
    for module in ("onnxruntime_genai", "onnx_ir", "torch", "transformers"):
        pytest.importorskip(module, reason="needs: pip install 'edgelfm[peers]'")
    folder = tiny_folder.with_name("tiny-lfm2-genai")
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-m", "tiny", "-i", str(tiny_folder)]
    command += ["-o", str(folder), "-p", "fp32", "-e", "cpu", "-c", str(folder.with_name("scratch"))]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    subprocess.run(command, check=True, capture_output=True, timeout=240, env=environment)
    for name in ("tokenizer.json", "tokenizer_config.json"):  # the builder writes its own, which say the same
        shutil.copyfile(tiny_folder / name, folder / name)
    return folder


@pytest.fixture(params=LAYOUTS)
def model(request: pytest.FixtureRequest) -> Path:
    """Each layout in turn."""
    path: Path = request.getfixturevalue(request.param)
    return path


@pytest.fixture(params=(*LAYOUTS, *SMALLER))
def graph(request: pytest.FixtureRequest) -> Path:
    """Each layout in turn, and each way to store weights."""
    path: Path = request.getfixturevalue(request.param)
    return path


@pytest.fixture
def open_onnx() -> Iterator[Open]:
    """Opens sessions and closes them after the test."""
    opened: list[OnnxSession] = []

    def open_(path: Path, *, given: Settings | None = None, **values: object) -> OnnxSession:
        opened.append(OnnxSession(load(path, given or settings(**values))))
        return opened[-1]

    yield open_
    for session in opened:
        session.close()
