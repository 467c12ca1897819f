"""Which providers run a graph, and the truth about those that do not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from edgelfm.backends.onnx.known_providers import CPU, full_name
from edgelfm.backends.onnx.library import library
from edgelfm.backends.onnx.placement import ProvidersReport
from edgelfm.backends.onnx.providers import Offer, start
from edgelfm.backends.onnx.session import OnnxSession
from edgelfm.decision import Decision
from edgelfm.errors import BackendError
from edgelfm.models.entry import Sampling
from edgelfm.planning.plan import Settings
from tests.backends.conftest import settings

Open = Callable[..., OnnxSession]
OPENVINO = "OpenVINOExecutionProvider"


@pytest.fixture
def with_openvino() -> None:
    """As a part of ONNX Runtime, or as a package beside it."""
    if OPENVINO in library().ort.get_available_providers():
        return
    if find_spec("onnxruntime_ep_openvino") is None:
        pytest.skip("to run: make test-openvino")
    if OPENVINO not in library().plugins:
        pytest.skip("needs a processor of Intel's, the only ones that onnxruntime-ep-openvino offers")


def asking(*names: str, device: str | None = None) -> Settings:
    given = replace(settings(), providers=Decision(names, "for the test"))
    return given if device is None else replace(given, device=Decision(device, "for the test"))


def ids(session: OnnxSession, count: int = 64) -> list[int]:
    events = session.generate(session.tokenize("one two three"), Sampling(), max_tokens=count)
    return [token for event in events for token in event.ids]


def test_on_the_cpu_alone_there_is_nothing_to_remark(published: Path, open_onnx: Open) -> None:
    session = open_onnx(published, given=asking("cpu"))
    ((name, nodes),) = session.providers_report.running
    assert name == CPU
    assert nodes > 100
    assert session.remarks == ()


@pytest.mark.parametrize("name", ["cuda", "CUDA", "CUDAExecutionProvider", "cudaexecutionprovider"])
def test_people_need_not_know_the_long_names(name: str) -> None:
    assert full_name(name) == "CUDAExecutionProvider"


def test_one_that_is_not_installed_is_left_out_and_named(published: Path, open_onnx: Open) -> None:
    session = open_onnx(published, given=asking("vitisai"))
    assert [name for name, _ in session.providers_report.running] == [CPU]
    assert session.remarks == (
        "VitisAI does not run: this onnxruntime does not have it (pip install onnxruntime-vitisai)",
    )
    assert ids(session) == ids(open_onnx(published))


def test_one_that_runs_nothing_is_told_apart_from_one_that_works(published: Path, open_onnx: Open) -> None:
    """The one for Azure is in every build, and takes no operator that it is not told to."""
    if "AzureExecutionProvider" not in library().ort.get_available_providers():
        pytest.skip("needs an onnxruntime with the Azure provider, as for Linux and Windows on PyPI")
    session = open_onnx(published, given=asking("AzureExecutionProvider"))
    (_, none), (_, all_) = session.providers_report.running
    assert none == 0
    assert session.remarks[0] == f"AzureExecutionProvider runs none of the {all_} nodes"
    assert session.remarks[1].startswith(f"{all_} of the {all_} nodes fell back to the CPU: ")


def test_one_that_fails_at_the_first_token_is_left_out(published: Path) -> None:
    if "AzureExecutionProvider" not in library().ort.get_available_providers():
        pytest.skip("needs an onnxruntime with the Azure provider, as for Linux and Windows on PyPI")

    def trial(session: object, memories: object, in_place: bool) -> list[str]:
        names = session.get_providers()
        if "AzureExecutionProvider" in names:
            raise BackendError("out of device memory")
        return names

    started = start(library(), published, Offer(("AzureExecutionProvider",)), trial)
    assert started.trial == [CPU]
    assert started.report.remarks() == ("AzureExecutionProvider does not run: out of device memory",)


def test_where_nothing_is_known_of_nodes_nothing_is_claimed() -> None:
    report = ProvidersReport((("CUDAExecutionProvider", None), (CPU, None)))
    assert report.remarks() == ()


def test_a_package_with_a_broken_provider_does_not_stop_the_others(published: Path, tmp_path: Path) -> None:
    broken = tmp_path / "onnxruntime_ep_broken"
    broken.mkdir()
    (broken / "__init__.py").write_text(
        f"def get_library_path(): return {str(broken / 'library.so')!r}\ndef get_ep_names(): return ['Broken']\n"
    )
    (broken / "library.so").write_bytes(b"no library")
    root = Path(__file__).parents[3]
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(root)!r}]\n"
        "from pathlib import Path\n"
        "from edgelfm.backends.onnx.loading import load\n"
        "from tests.backends.conftest import settings\n"
        f"print(*load(Path({str(published)!r}), settings()).report.remarks(), sep='|')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert "onnxruntime_ep_broken does not run: could not be registered: " in done.stdout
    assert done.stderr == ""


def test_a_package_without_a_device_here_is_not_tried_and_named_where_it_is_asked_for(published: Path) -> None:
    """OpenVINO's package can be installed anywhere, and finds no device on a machine without anything of Intel's."""
    if OPENVINO in library().ort.get_available_providers():
        pytest.skip("needs an onnxruntime without an OpenVINO of its own, as in the extra onnx")
    without = replace(library(), plugins=frozenset(), idle=frozenset((OPENVINO,)))
    unasked, asked = (
        start(without, published, Offer(wanted), lambda session, memories, in_place: None).report
        for wanted in (None, ("openvino",))
    )
    assert unasked.remarks() == ()
    assert [name for name, _ in asked.running] == [CPU]
    assert asked.remarks() == (
        "OpenVINO does not run: it is installed, and this machine has no device that it works with",
    )


@pytest.mark.usefixtures("with_openvino")
class TestOpenVino:
    """The class of provider that NPUs have, on a CPU: it takes parts of the graph, compiles them, leaves the rest."""

    @pytest.fixture
    def model(self, model: Path) -> Path:
        """Each layout in turn, as far as an onnxruntime with OpenVINO, which comes out later, knows its operators."""
        try:
            graph = model / "model.onnx" if model.is_dir() else model
            library().ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
        except library().errors as error:
            pytest.skip(f"needs a newer onnxruntime-openvino: {str(error)[-90:]}")
        return model

    def test_it_gives_the_same_64_tokens_and_says_what_it_left(self, model: Path, open_onnx: Open) -> None:
        session = open_onnx(model, given=asking("openvino"))
        report = dict(session.providers_report.running)
        assert report[OPENVINO] > 50
        assert ids(session) == ids(open_onnx(model, given=asking("cpu")))
        assert session.remarks[0] == f"OpenVINO runs {report[OPENVINO]} of the {sum(report.values())} nodes"
        assert session.state_identity()["providers"] == (OPENVINO if not report[CPU] else f"{OPENVINO} {CPU}")

    def test_going_back_and_on_gives_what_the_cpu_gives(self, model: Path, open_onnx: Open) -> None:
        used, fresh = open_onnx(model, given=asking("openvino")), open_onnx(model, given=asking("cpu"))
        for text in ("one two three", "one two", "one two four", "something else", "one two three"):
            prompt = used.tokenize(text)
            both = [
                [token for event in session.generate(prompt, Sampling(), max_tokens=8) for token in event.ids]
                for session in (used, fresh)
            ]
            assert both[0] == both[1]

    def test_it_is_tried_unasked_where_it_is_installed(self, published: Path, open_onnx: Open) -> None:
        assert OPENVINO in dict(open_onnx(published).providers_report.running)

    def test_a_device_that_is_not_here_is_named_and_the_cpu_takes_over(self, published: Path, open_onnx: Open) -> None:
        if any(device.device.type.name == "NPU" for device in library().ort.get_ep_devices()):
            pytest.skip("needs a machine without an NPU")
        session = open_onnx(published, given=asking("openvino", device="npu"))
        assert [name for name, _ in session.providers_report.running] == [CPU]
        why = "OpenVINO has no device npu here, only: " if OPENVINO in library().plugins else "it did not start"
        assert session.remarks[0].startswith(f"OpenVINO does not run: {why}")
        assert len(ids(session, 5)) == 5

    def test_nothing_is_written_to_the_terminal(
        self, published: Path, open_onnx: Open, capfd: pytest.CaptureFixture[str]
    ) -> None:
        ids(open_onnx(published, given=asking("openvino")), 4)
        assert capfd.readouterr() == ("", "")
