"""`load(adapter=…)`: from a LoRA in a folder or on the Hub to a model that answers with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import edgelfm
from edgelfm.errors import ModelFileError, NotDownloaded, PlanningError, RequestError
from tests.adapters import linear_layers, write_mlx, write_peft
from tests.local_hub import LocalHub
from tests.tiny_folder import write_tiny_lfm2_folder

GREEDY = {"temperature": 0.0, "max_tokens": 12}
QUESTION = "Water the tomatoes"
INSTALLED = [
    pytest.param(
        backend,
        marks=pytest.mark.skipif(find_spec(module) is None, reason=f"to run: pip install 'edgelfm[{backend}]'"),
    )
    for backend, module in {"llama.cpp": "llama_cpp", "mlx": "mlx_lm", "transformers": "torch"}.items()
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of `tiny_path` as transformers and MLX read them."""
    return write_tiny_lfm2_folder(tmp_path_factory.mktemp("adapted") / "tiny-lfm2")


@pytest.fixture(scope="module")
def lora(folder: Path) -> Path:
    """An adapter that was trained on it, and says so."""
    layers = linear_layers(folder)
    return write_peft(folder.parent / "gardener", layers, base_model_name_or_path=str(folder))


@pytest.fixture(scope="module")
def plain(tiny_path: Path) -> Iterator[edgelfm.Model]:
    with edgelfm.load(tiny_path, context=1024, progress=False) as model:
        yield model


def base(backend: str, folder: Path, tiny_path: Path) -> Path:
    return tiny_path if backend == "llama.cpp" else folder


@pytest.mark.parametrize("backend", INSTALLED)
def test_a_model_answers_with_its_adapter(backend: str, folder: Path, tiny_path: Path, lora: Path) -> None:
    source = base(backend, folder, tiny_path)
    with edgelfm.load(source, backend=backend, adapter=lora, context=512, progress=False, tune=False) as lfm:
        assert lfm.adapter is not None
        assert "with gardener" in repr(lfm)
        assert f'adapter="{lora}"' in lfm.candidate.load_command
        adapted = lfm.chat(QUESTION, **GREEDY)
        with_it = lfm.candidate
        assert "gardener" in lfm._repr_mimebundle_()["text/html"]
        lfm.use_adapter(None)
        assert lfm.adapter is None
        assert "adapter" not in lfm.candidate.load_command
        assert lfm.plan.chosen == lfm.candidate
        assert lfm.chat(QUESTION, **GREEDY) != adapted
        lfm.use_adapter(lora)
        assert lfm.chat(QUESTION, **GREEDY) == adapted
        assert lfm.candidate == with_it


def test_an_adapter_alone_brings_the_model_it_was_trained_on(folder: Path, lora: Path) -> None:
    plan = edgelfm.plan(adapter=lora)
    assert plan.request.model is not None
    assert plan.request.model.artifacts[0].path == str(folder)


def test_one_that_does_not_say_what_it_is_for_needs_a_name(lora: Path, tmp_path: Path) -> None:
    unnamed = write_mlx(tmp_path / "unnamed", {"model.layers.0.conv.in_proj": (64, 192)})
    with pytest.raises(RequestError, match="does not say which model") as caught:
        edgelfm.plan(adapter=unnamed)
    assert f'adapter="{unnamed}"' in caught.value.hint
    elsewhere = write_peft(tmp_path / "lost", {"a.b": (4, 4)}, base_model_name_or_path="/home/somebody/model")
    with pytest.raises(RequestError, match="/home/somebody/model, which cannot be had"):
        edgelfm.plan(adapter=elsewhere)


def test_what_it_weighs_is_part_of_the_bill(tiny_path: Path, folder: Path, lora: Path, plain: edgelfm.Model) -> None:
    planned = edgelfm.plan(tiny_path, context=1024, adapter=lora).chosen
    assert planned is not None
    rank, bytes_each = 4, 4
    values = sum(rank * (inputs + outputs) for inputs, outputs in linear_layers(folder).values())
    assert planned.memory.part("adapter") == bytes_each * values
    before = plain.memory().weights
    plain.use_adapter(lora)
    assert plain.memory().weights - before == pytest.approx(planned.memory.part("adapter"), rel=0.05)
    plain.use_adapter(None)
    assert plain.memory().weights == before


def test_a_runtime_that_cannot_have_one_is_not_planned(folder: Path, lora: Path) -> None:
    plan = edgelfm.plan("lfm2.5-350m", adapter=lora, backend="onnx")
    assert plan.chosen is None
    assert "cannot have the adapter gardener beside a model" in plan.rejected[0].reason
    assert "edgelfm convert" in plan.rejected[0].fix
    with pytest.raises(PlanningError, match="gardener"):
        edgelfm.load("lfm2.5-350m", adapter=lora, backend="onnx")


def test_an_adapter_of_another_model_is_refused(tiny_path: Path, write_adapter: Callable[..., Path]) -> None:
    other = write_adapter({"model.layers.2.self_attn.q_proj": (128, 128)})
    with pytest.raises(ModelFileError, match="adds") as caught:
        edgelfm.load(tiny_path, adapter=other, context=512, progress=False)
    assert caught.value.hint == "give the model it was trained on"


def test_what_is_no_adapter_is_refused(tiny_path: Path, folder: Path, tmp_path: Path) -> None:
    for path, said in ((folder, "no adapter_config.json"), (tiny_path, "no adapter"), (tmp_path / "x", "is not there")):
        with pytest.raises(ModelFileError, match=said) as caught:
            edgelfm.load(tiny_path, adapter=path)
        assert "PEFT" in caught.value.hint


def test_a_conversation_is_resumed_with_its_adapter(plain: edgelfm.Model, lora: Path, tmp_path: Path) -> None:
    plain.use_adapter(lora)
    talk = plain.conversation()
    talk.send(QUESTION, **GREEDY)
    talk.save(tmp_path / "talk.json", state=True)
    again = edgelfm.resume(tmp_path / "talk.json", progress=False)
    assert again.resumed is not None
    assert again.resumed.state_tokens > 0
    assert again.send("And the basil?", **GREEDY) == talk.send("And the basil?", **GREEDY)
    plain.use_adapter(None)


def test_a_conversation_goes_on_when_the_adapter_changes(plain: edgelfm.Model, lora: Path) -> None:
    talk = plain.conversation()
    talk.send(QUESTION, **GREEDY)
    plain.use_adapter(lora)
    reply = talk.send("And the basil?", **GREEDY)
    assert reply.usage.cached_tokens == 0  # what the plain model had remembered is not its own
    plain.use_adapter(None)
    assert len(talk.messages) == 4


def test_the_hub_is_asked_once(
    tiny_path: Path, lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain: edgelfm.Model
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub-cache"))
    for name in ("HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with LocalHub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        for file in lora.iterdir():
            hub.put("someone/gardener-lora", file.name, file.read_bytes())
        hub.put("someone/model", "README.md", b"#")
        with pytest.raises(NotDownloaded, match="someone/gardener-lora"):
            edgelfm.plan(tiny_path, adapter="someone/gardener-lora", offline=True)
        with pytest.raises(ModelFileError, match="holds no adapter"):
            plain.use_adapter("someone/model")
        plain.use_adapter("someone/gardener-lora")
        assert plain.adapter is not None
        assert plain.adapter.name == "gardener-lora"  # and not the commit that its folder is called after
        assert 'adapter="someone/gardener-lora"' in plain.candidate.load_command
        asked = len(hub.log)
        plain.use_adapter(None)
        plain.use_adapter("someone/gardener-lora")
        assert len(hub.log) == asked
        plain.use_adapter(None)
