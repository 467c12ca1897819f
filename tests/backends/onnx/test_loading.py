"""Graphs that are whole, and the many ways in which one can be broken or not be what it must be."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import edgelfm
from edgelfm.backends.onnx.library import library
from edgelfm.backends.onnx.loading import load
from edgelfm.backends.onnx.providers import ProvidersReport
from edgelfm.backends.onnx.session import OnnxSession
from edgelfm.errors import BackendError, BackendMissing, ModelFileError
from edgelfm.models.entry import Sampling
from tests.backends.conftest import settings

Open = Callable[..., OnnxSession]
GRAPH, DATA = "onnx/model.onnx", "onnx/model.onnx_data"


def cut(name: str, keep: int) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:keep])


def write(name: str, content: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(content)


def remove(name: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).unlink()


def call(**names: str) -> Callable[[Path], Any]:
    """Gives inputs and outputs other names; dots are written as underscores here."""

    def change(folder: Path) -> None:
        from tests.onnx_export import rename

        dotted = {old.replace("__", "."): new for old, new in names.items()}
        rename(folder / GRAPH, folder / GRAPH, dotted)

    return change


def edit(change: Callable[[Any], Any]) -> Callable[[Path], Any]:
    """Changes the graph as the onnx package knows it."""

    def apply(folder: Path) -> None:
        import onnx

        model = onnx.load(folder / GRAPH, load_external_data=False)
        change(model)
        onnx.save(model, folder / GRAPH)

    return apply


def place(**entries: str) -> Callable[[Any], Any]:
    """Says something else about where the first tensor in another file lies."""

    def change(model: Any) -> None:
        tensor = next(tensor for tensor in model.graph.initializer if tensor.external_data)
        for entry in tensor.external_data:
            entry.value = entries.get(entry.key, entry.value)

    return change


def rename_operator(model: Any) -> None:
    model.graph.node[3].op_type = "Zap"


def forget_the_past(model: Any) -> None:
    """Inputs of caches become constants: an export without `use_cache`."""
    from onnx import helper

    pasts = [value for value in model.graph.input if value.name.startswith("past")]
    for value in pasts:
        shape = [
            dim.dim_value or (1 if number == 0 else 0) for number, dim in enumerate(value.type.tensor_type.shape.dim)
        ]
        count = 0 if 0 in shape else shape[1] * shape[2]
        model.graph.initializer.append(helper.make_tensor(value.name, 1, shape, [0.0] * count))
        model.graph.input.remove(value)


BROKEN: list[tuple[str, Callable[[Path], Any], str]] = [
    ("no graph", remove(GRAPH), "holds no model"),
    ("no config", remove("config.json"), "config.json is not there"),
    ("no tokenizer", remove("tokenizer.json"), "tokenizer.json is not there"),
    ("graph empty", write(GRAPH, b""), "is empty"),
    ("graph cut", cut(GRAPH, 20_000), "is no ONNX graph, or a truncated one"),
    ("graph of another kind", write(GRAPH, b"GGUF" + bytes(100)), "is no ONNX graph"),
    ("graph without a graph", write(GRAPH, b"\x08\x0a"), "holds no graph"),
    ("a number that never ends", write(GRAPH, b"\xff" * 40), "a number that does not end"),
    ("weights missing", remove(DATA), "keeps weights in model.onnx_data, which is not there"),
    ("weights cut", cut(DATA, -1000), "is truncated: the graph needs"),
    ("weights outside", edit(place(location="../../secret")), "outside its folder"),
    ("weights of the system", edit(place(location="/etc/passwd")), "outside its folder"),
    ("weights beyond the file", edit(place(offset="99999999")), "is truncated"),
    ("offset of no sense", edit(place(offset="here")), "is no ONNX graph"),
    ("an operator nobody knows", edit(rename_operator), "cannot load it.*Zap"),
    ("no ids", call(input_ids="tokens"), "no input 'input_ids'; its inputs are attention_mask"),
    ("embeddings for ids", call(input_ids="inputs_embeds"), "it takes embeddings"),
    ("no logits", call(logits="scores"), "no output 'logits'; its outputs are"),
    ("an input nobody knows", call(past_conv__0="memory"), "does not know: memory"),
    ("a past without a present", call(present_conv__3="rest"), r"input 'past_conv.3' and no output 'present_conv.3'"),
    ("keys without a present", call(present__2__key="rest"), "no output 'present.2.key'"),
    ("nothing remembered", edit(forget_the_past), "keeps nothing of the tokens"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "reason"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_what_is_broken_is_refused_with_the_reason(
    damage: Callable[[Path], Any], reason: str, published: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(published.parents[1], tmp_path / "broken")
    damage(folder)
    with pytest.raises(ModelFileError, match=reason) as caught:
        load(folder, settings())
    assert str(folder) in caught.value.message
    assert caught.value.hint


def test_a_graph_that_its_config_does_not_fit_is_not_blamed_on_memory_alone(published: Path, tmp_path: Path) -> None:
    """A graph that leaves the number of heads open, and a config that has another."""
    folder = shutil.copytree(published.parents[1], tmp_path / "other")

    def open_heads(model: Any) -> None:
        for value in (*model.graph.input, *model.graph.output):
            if value.name.endswith((".key", ".value")):
                value.type.tensor_type.shape.dim[1].dim_param = "heads"

    edit(open_heads)(folder)
    load(folder, settings())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_key_value_heads": 2}))
    with pytest.raises(BackendError, match="not a single token can be evaluated") as caught:
        load(folder, settings())
    assert "config.json is not that of this graph" in caught.value.hint


GENAI: list[tuple[str, dict[str, Any], str]] = [
    ("no model", {"model": None}, "has no 'model'"),
    ("no decoder", {"model": {"type": "lfm2"}}, "has no 'decoder'"),
    ("a model that sees", {"model": {"vision": {}, "decoder": {"filename": "m.onnx"}}}, r"several graphs \(vision\)"),
    ("a pipeline", {"model": {"decoder": {"pipeline": [{"a": {}}]}}}, "a pipeline of several graphs"),
    ("windows", {"model": {"decoder": {"sliding_window": {"window_size": 128}}}}, "wants its input in windows"),
    ("graph missing", {"model": {"decoder": {"filename": "other.onnx"}}}, "other.onnx is not there"),
    ("graph outside", {"model": {"decoder": {"filename": "../other.onnx"}}}, "outside its folder"),
    ("graph of the system", {"model": {"decoder": {"filename": "/other.onnx"}}}, "outside its folder"),
    ("inputs a word", {"model": {"decoder": {"inputs": "ids"}}}, "cannot be understood"),
    ("a name no text", {"model": {"decoder": {"inputs": {"input_ids": []}}}}, r"\[\] is no name"),
    ("a name without a layer", {"model": {"decoder": {"outputs": {"present_key_names": "k"}}}}, "'k' is no name with"),
    ("options a word", {"model": {"decoder": {"session_options": "fast"}}}, "cannot be understood"),
    ("a library of its own", {"model": {"decoder": {"session_options": {"provider_options": [
        {"qnn": {"backend_path": "./evil.so"}}]}}}}, "backend_path of qnn leads to"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "reason"), [case[1:] for case in GENAI], ids=[case[0] for case in GENAI])
def test_a_genai_folder_that_cannot_be_driven_says_why(
    content: dict[str, Any], reason: str, tiny_folder: Path, tmp_path: Path
) -> None:
    shutil.copyfile(tiny_folder / "tokenizer.json", tmp_path / "tokenizer.json")
    (tmp_path / "genai_config.json").write_text(json.dumps(content))
    with pytest.raises(ModelFileError, match=reason) as caught:
        load(tmp_path, settings())
    assert str(tmp_path) in caught.value.message
    assert caught.value.hint


class TestLayouts:
    def test_a_genai_folder_says_what_its_graph_calls_things(
        self, published: Path, tmp_path: Path, open_onnx: Open
    ) -> None:
        from tests.onnx_export import rename

        folder = shutil.copytree(published.parent, tmp_path / "genai")
        shutil.copyfile(published.parents[1] / "tokenizer.json", folder / "tokenizer.json")
        caches = {f"past_conv.{i}": f"conv_in_{i}" for i in (0, 1, 3, 4)}
        caches |= {f"present_conv.{i}": f"conv_out_{i}" for i in (0, 1, 3, 4)}
        rename(folder / "model.onnx", folder / "model.onnx", {"input_ids": "ids", "logits": "scores", **caches})
        decoder = {
            "filename": "model.onnx",
            "inputs": {"input_ids": "ids", "past_conv_names": "conv_in_%d"},
            "outputs": {"logits": "scores", "present_conv_names": "conv_out_%d"},
        }
        whole = {"model": {"decoder": decoder, "eos_token_id": 7}, "search": {"past_present_share_buffer": False}}
        (folder / "genai_config.json").write_text(json.dumps(whole))
        ours, theirs = open_onnx(folder), open_onnx(published)
        assert ours.memory().kv == 2 * theirs.memory().kv  # nothing shared, as it says
        prompt = ours.tokenize("one two three")
        texts = [[e.text for e in session.generate(prompt, Sampling(), max_tokens=20)] for session in (ours, theirs)]
        assert texts[0] == texts[1]

    def test_a_repository_is_opened_by_the_quantization(self, half: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(half.parents[1], tmp_path / "repository")
        shutil.copyfile(folder / "onnx" / "model_fp16.onnx", folder / "onnx" / "model_q4.onnx")
        assert load(folder, settings(), "fp16").graph.path.name == "model_fp16.onnx"
        assert load(folder, settings(), "q4").graph.path.name == "model_q4.onnx"
        with pytest.raises(ModelFileError, match=r"several graphs and none called model_q8\.onnx") as caught:
            load(folder, settings(), "q8")
        assert "model_fp16.onnx" in caught.value.hint
        shutil.copyfile(folder / "onnx" / "model_fp16.onnx", folder / "onnx" / "model_quantized.onnx")
        assert load(folder, settings(), "q8").graph.path.name == "model_quantized.onnx"
        shutil.copyfile(folder / "onnx" / "model_fp16.onnx", folder / "onnx" / "model_q8.onnx")
        assert load(folder, settings(), "q8").graph.path.name == "model_q8.onnx"

    def test_a_repository_may_be_a_genai_folder_with_several_graphs(
        self, eight_bits: Path, published: Path, tmp_path: Path, open_onnx: Open
    ) -> None:
        """As Liquid AI's exporter writes them now: genai_config.json names one graph, the others lie beside it."""
        from tests.onnx_export import rename

        folder = shutil.copytree(eight_bits.parents[1], tmp_path / "repository")
        for beside in published.parent.iterdir():
            shutil.copyfile(beside, folder / "onnx" / beside.name)
        names = {f"{time}_conv.{i}": f"{time}.{i}.conv" for time in ("past", "present") for i in (0, 1, 3, 4)}
        for graph in folder.glob("onnx/*.onnx"):
            rename(graph, graph, names)
        decoder = {"filename": "onnx/model.onnx"}
        (folder / "genai_config.json").write_text(json.dumps({"model": {"decoder": decoder, "eos_token_id": 7}}))
        assert load(folder, settings()).graph.path.name == "model.onnx"
        assert load(folder, settings(), "q8").graph.path.name == "model_q8.onnx"
        session = open_onnx(folder / "onnx" / "model_q8.onnx")
        assert list(session.generate([20, 21], Sampling(), max_tokens=3))[-1].finish_reason == "length"

    def test_links_into_a_cache_are_followed(self, published: Path, tmp_path: Path, open_onnx: Open) -> None:
        """As the Hub's cache keeps them: names in a snapshot, bytes elsewhere."""
        blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "main"
        (snapshot / "onnx").mkdir(parents=True)
        blobs.mkdir()
        for number, path in enumerate(sorted(path for path in published.parents[1].rglob("*") if path.is_file())):
            shutil.copyfile(path, blobs / str(number))
            (snapshot / path.relative_to(published.parents[1])).symlink_to(blobs / str(number))
        session = open_onnx(snapshot / GRAPH)
        assert list(session.generate(session.tokenize("hello"), Sampling(), max_tokens=3))[-1].finish_reason == "length"


@pytest.mark.parametrize("layout", ["published", "half", "eight_bits", "dynamic", "genai"])
def test_a_folder_is_planned_opened_and_talked_to(layout: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(layout)
    folder = path if path.is_dir() else path.parents[1]
    with edgelfm.load(folder, backend="onnx", context=1024, tune=False, progress=False) as lfm:
        talk = lfm.conversation(system="Be brief.")
        first = talk.send("Hello", temperature=0, max_tokens=6)
        second = talk.send("And now?", temperature=0, max_tokens=6)
        assert (lfm.candidate.backend, lfm.context) == ("onnx", 1024)
        assert second.usage.cached_tokens >= first.usage.prompt_tokens


def test_loading_can_be_abandoned(published: Path) -> None:
    told: list[float] = []
    load(published, settings(), progress=lambda fraction: told.append(fraction) is None)
    assert told == [0.0, 1.0]
    with pytest.raises(BackendError, match="abandoned"):
        load(published, settings(), progress=lambda fraction: False)


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendMissing, match="onnxruntime is not installed") as caught:
        library.__wrapped__()
    assert caught.value.hint == "pip install 'edgelfm[onnx]'"


def test_importing_the_room_loads_nothing_heavy() -> None:
    code = (
        "import sys; import edgelfm.backends.onnx; "
        "print([name for name in ('onnxruntime', 'onnx', 'numpy', 'tokenizers') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_what_came_of_the_providers_is_told_by_the_model(published: Path) -> None:
    with edgelfm.load(published, backend="onnx", tune=False, progress=False) as lfm:
        assert lfm.remarks == ()  # all on the CPU, as nothing else was there
        assert ">Runtime<" not in lfm._repr_mimebundle_()["text/html"]
        lfm._session.providers_report = ProvidersReport(  # type: ignore[attr-defined]
            (("OpenVINOExecutionProvider", 150), ("CPUExecutionProvider", 2)), (), (("GroupQueryAttention", 2),)
        )
        assert lfm.remarks == (
            "OpenVINO runs 150 of the 152 nodes",
            "2 of the 152 nodes fell back to the CPU: GroupQueryAttention 2",
        )
        assert "fell back to the CPU" in lfm._repr_mimebundle_()["text/html"]
