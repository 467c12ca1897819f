"""From a folder to checked files, and what is left behind where that fails: nothing."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import edgelfm
from edgelfm.bench.peers.conversion import write_folder
from edgelfm.bench.peers.tokenizer_json import KEPT
from edgelfm.conversion import checking, files
from edgelfm.conversion.logits_llama_cpp import Evaluator
from edgelfm.conversion.progress import Converting
from edgelfm.conversion.sample import SAMPLE
from edgelfm.errors import (
    BackendError,
    BackendMissing,
    ModelFileError,
    NoDiskSpace,
    NotDownloaded,
    RequestError,
    StoreError,
    UnknownQuantization,
)
from edgelfm.models.gguf import read_header
from tests.adapters import linear_layers, write_peft
from tests.tiny_folder import write_tiny_lfm2_folder

#: Of the starter in 4 bits llama.cpp rounds what it multiplies to 8 bits, of bf16 weights it does not. To these the
#: answers do not hang on that.
QUESTIONS = ("Why is the sky blue?", "List three colours.")
LEFT = "model.layers.0.conv.in_proj"


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def only_llama_cpp(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where neither torch nor MLX is installed; it also makes the tests of other things quick."""
    monkeypatch.setattr(checking, "find_spec", lambda name: name == "tokenizers" or None)


@pytest.mark.usefixtures("only_llama_cpp")
def test_several_quantizations_are_made_checked_and_loadable(tiny_source: Path, tmp_path: Path) -> None:
    made = edgelfm.convert(tiny_source, quantization="Q4_0,Q4_K_M,Q8_0", out=tmp_path, progress=False)
    assert [one.path.name for one in made.files] == [
        "tiny-lfm2-Q4_0.gguf", "tiny-lfm2-Q4_K_M.gguf", "tiny-lfm2-Q8_0.gguf",
    ]  # fmt: skip
    assert _names(tmp_path) == {one.path.name for one in made.files}
    q4_0, q4_k_m, q8_0 = (one.agreement for one in made.files)
    assert q8_0.kl < q4_k_m.kl < q4_0.kl < 1
    assert q8_0.top1 > 0.8
    assert q8_0.tokens > 300
    for one in made.files:
        assert hashlib.sha256(one.path.read_bytes()).hexdigest() == one.sha256
        assert one.path.stat().st_size == one.bytes
        with edgelfm.load(one.path, tune=False, progress=False) as lfm:
            assert lfm.complete("hello", max_tokens=4, temperature=0).usage.completion_tokens > 0


def test_the_source_is_computed_by_other_code_where_there_is_some(tiny_source: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="to run: pip install 'edgelfm[transformers]'")
    made = edgelfm.convert(tiny_source, quantization="F32", out=tmp_path / "a.gguf", progress=False)
    assert made.path == tmp_path / "a.gguf"
    assert made.agreement.reference.startswith("transformers")
    assert made.agreement.independent
    assert made.agreement.top1 == 1.0
    assert made.agreement.kl < 1e-9


@pytest.mark.usefixtures("only_llama_cpp")
def test_without_other_runtimes_the_check_says_what_it_is(tiny_source: Path, tmp_path: Path) -> None:
    made = edgelfm.convert(tiny_source, quantization="q8_0", out=tmp_path, progress=False)
    assert "no independent check" in made.agreement.reference
    assert not made.agreement.independent
    assert "top-1" in str(made)
    assert made.sha256 in str(made)
    assert made.sha256 in made._repr_mimebundle_()["text/html"]


def test_where_nothing_else_cuts_text_llama_cpp_does(
    tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "find_spec", lambda name: None)
    made = edgelfm.convert(tiny_source, quantization="Q8_0", out=tmp_path, text="A short text.", progress=False)
    assert made.agreement.top1 > 0.8
    assert 2 < made.agreement.tokens < 20


@pytest.mark.usefixtures("only_llama_cpp")
def test_what_is_left_open_is_what_the_planner_puts_first(tiny_copy: Path) -> None:
    made = edgelfm.convert(tiny_copy, progress=False)
    assert (made.format.value, made.path.parent) == ("gguf", tiny_copy.parent)
    assert "planner" in made.quantization.reason
    assert made.path.name == f"tiny-lfm2-{made.quantization.value}.gguf"


@pytest.mark.usefixtures("only_llama_cpp")
def test_a_model_in_the_cache_of_the_hub_has_its_name_and_comes_out_here(
    tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models--someone--basil" / "snapshots" / "0123abcd"
    shutil.copytree(tiny_source, folder)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    made = edgelfm.convert(folder, quantization="F32", text=SAMPLE[:200], progress=False)
    assert made.path == tmp_path / "here" / "basil-F32.gguf"
    assert read_header(made.path).text("general.name") == "basil"


@pytest.mark.usefixtures("only_llama_cpp")
def test_a_lora_changes_the_model_and_its_name(tiny_source: Path, tmp_path: Path, write_adapter: Callable) -> None:
    adapter = write_adapter({LEFT: (64, 192)})
    made = edgelfm.convert(tiny_source, adapter=adapter, quantization="F16", out=tmp_path / "made", progress=False)
    assert made.path.name == "tiny-lfm2-lora-1-F16.gguf"
    assert read_header(made.path).text("general.name") == "tiny-lfm2 + lora-1"
    plain = edgelfm.convert(tiny_source, quantization="F16", out=tmp_path / "made", progress=False)
    assert plain.sha256 != made.sha256


def test_a_lora_of_the_hub_can_be_merged(tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(NotDownloaded, match="the adapter someone/gardener-lora is not on this disk"):
        edgelfm.convert(tiny_source, adapter="someone/gardener-lora", quantization="F16", out=tmp_path)


@pytest.mark.usefixtures("only_llama_cpp")
def test_a_text_of_conversations_is_read_with_its_markers(tiny_copy: Path, tmp_path: Path) -> None:
    """Also those that are plain words to the tokenizer, which llama.cpp always reads as one token."""
    path = tiny_copy / "tokenizer.json"
    values = json.loads(path.read_text().replace("<|tool_list_start|>", "<think>"))
    values["added_tokens"][8].update(special=False)
    path.write_text(json.dumps(values))
    text = "<|im_start|>assistant\n<think>The basil first.<|im_end|>\n"
    made = edgelfm.convert(tiny_copy, quantization="F32", out=tmp_path / "made", text=text * 4, progress=False)
    assert made.agreement.top1 == 1.0
    assert made.agreement.tokens < len(text * 4) - 4 * len("<|im_start|><think>")


def test_a_merged_lora_is_that_of_transformers(tiny_llama: Path, tmp_path: Path, write_adapter: Callable) -> None:
    """The reference adds the change to the parameters that transformers has; queries are turned only in the file."""
    adapter = write_adapter({"model.layers.1.self_attn.q_proj": (64, 64), "model.layers.0.mlp.down_proj": (96, 64)})
    made = edgelfm.convert(tiny_llama, adapter=adapter, quantization="F32", out=tmp_path, progress=False)
    assert made.agreement.reference.startswith("transformers")
    assert made.agreement.kl < 1e-9


def test_experts_with_a_lora_are_those_of_transformers(tmp_path: Path) -> None:
    """Which keeps all experts of a layer in two blocks."""
    pytest.importorskip("torch", reason="to run: pip install 'edgelfm[transformers]'")
    folder = write_tiny_lfm2_folder(tmp_path / "moe", experts=4)
    experts = {name: sides for name, sides in linear_layers(folder).items() if ".experts." in name}
    lora = write_peft(tmp_path / "lora", experts)
    made = edgelfm.convert(folder, adapter=lora, quantization="F32", text=SAMPLE[:200], progress=False)
    assert made.agreement.reference.startswith("transformers")
    assert made.agreement.kl < 1e-9


@pytest.mark.usefixtures("only_llama_cpp")
def test_progress_is_told_to_a_function(tiny_source: Path, tmp_path: Path) -> None:
    heard: list[Converting] = []
    edgelfm.convert(tiny_source, quantization="Q8_0", out=tmp_path, progress=heard.append)
    fractions = [now.fraction for now in heard]
    assert fractions == sorted(fractions)
    assert {"writing the weights", "quantizing to Q8_0", "checking Q8_0"} <= {now.step for now in heard}


def test_what_does_not_do_what_its_source_does_is_kept_aside(
    tiny_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights in the file are made another layer's, as a mistake in the writing would."""
    pytest.importorskip("torch", reason="to run: pip install 'edgelfm[transformers]'")
    from edgelfm.backends.weights import Weights

    read = Weights.rows
    monkeypatch.setattr(Weights, "rows", lambda self, *given: read(self, *given)[..., ::-1])
    with pytest.raises(BackendError, match="does not do what its source does") as caught:
        edgelfm.convert(tiny_copy, quantization="Q8_0", out=tmp_path / "made", progress=False)
    assert _names(tmp_path / "made") == {"tiny-lfm2-Q8_0.gguf.suspect"}
    assert ".suspect" in caught.value.hint


def test_what_is_kept_aside_takes_the_place_of_what_was(tmp_path: Path) -> None:
    for name in ("made", "made.suspect"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(name)
    files.settle(tmp_path / "made", tmp_path / "made.suspect", instead=True)
    assert _names(tmp_path) == {"made.suspect"}
    assert (tmp_path / "made.suspect" / "config.json").read_text() == "made"


@pytest.mark.usefixtures("only_llama_cpp")
@pytest.mark.parametrize("step", ["writing the weights", "quantizing to Q8_0", "checking Q8_0", "hashing Q8_0"])
def test_an_interrupted_conversion_leaves_nothing_behind(tiny_source: Path, tmp_path: Path, step: str) -> None:
    def interrupt(now: Converting) -> None:
        if now.step == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        edgelfm.convert(tiny_source, quantization="Q8_0", out=tmp_path / "made", progress=interrupt)
    assert _names(tmp_path / "made") == set()


@pytest.mark.skipif(sys.platform == "win32", reason="to run: a system that locks folders")
def test_what_a_killed_conversion_left_is_removed_by_the_next(tmp_path: Path) -> None:
    left, young = tmp_path / ".tiny-Q8_0.gguf-abc.part", tmp_path / ".tiny-Q8_0.gguf-def.part"
    other = tmp_path / ".tiny-Q4_0.gguf-abc.part"
    for folder in (left, young, other):
        folder.mkdir()
        (folder / "F32.gguf").write_bytes(b"half")
    with files.workshop(tmp_path, "tiny-Q8_0.gguf") as under_way:
        for folder in (left, other, under_way):
            os.utime(folder, (0, 0))
        files.remove_leftovers(tmp_path, "tiny-Q8_0.gguf")
        assert _names(tmp_path) == {young.name, other.name, under_way.name}
    assert not under_way.exists()


def test_a_full_disk_is_found_out_before_anything_is_written(tiny_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgelfm.models.disk_room.free_bytes", lambda folder: 1024**2)
    before = _names(tiny_copy.parent)
    with pytest.raises(NoDiskSpace, match=r"1\.0 MiB are free"):
        edgelfm.convert(tiny_copy, quantization="Q4_0", progress=False)
    assert _names(tiny_copy.parent) == before


@pytest.mark.parametrize(
    ("failure", "free", "raised"),
    [
        (BackendError("the quantizer could not write"), 4096, NoDiskSpace),
        (BackendError("the quantizer is broken"), 10**9, BackendError),
        (OSError(errno.EFBIG, "too large"), 10**9, NoDiskSpace),
        (OSError(errno.EIO, "a broken card"), 10**9, StoreError),
    ],
)
def test_a_disk_that_fails_on_the_way_is_told_from_other_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception, free: int, raised: type[Exception]
) -> None:
    monkeypatch.setattr("edgelfm.models.disk_room.free_bytes", lambda folder: free)
    with pytest.raises(raised) as caught, files.workshop(tmp_path, "tiny"):
        raise failure
    assert caught.type is raised
    assert not _names(tmp_path)


@pytest.mark.usefixtures("only_llama_cpp")
def test_nothing_is_overwritten(tiny_source: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny-lfm2-Q8_0.gguf").write_text("mine")
    with pytest.raises(RequestError, match="there already"):
        edgelfm.convert(tiny_source, quantization="Q8_0", out=tmp_path, progress=False)
    assert (tmp_path / "tiny-lfm2-Q8_0.gguf").read_text() == "mine"


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"to": "tflite"}, RequestError),
        ({"quantization": "Q4_9"}, UnknownQuantization),
        ({"quantization": ","}, UnknownQuantization),
        ({"to": "mlx", "quantization": "Q4_0"}, UnknownQuantization),
        ({"to": "onnx", "quantization": "fp16"}, UnknownQuantization),  # stops at the second token on a CPU
        ({"quantization": "Q4_0", "text": ""}, RequestError),
        ({"quantization": "Q4_0,Q8_0", "out": "one.gguf"}, RequestError),
        ({"quantization": "Q4_0", "imatrix": "nowhere.gguf"}, ModelFileError),
    ],
)
def test_requests_that_make_no_sense_are_refused_with_a_hint(
    tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, str], error: type[Exception]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as caught:
        edgelfm.convert(tiny_source, progress=False, **{"out": tmp_path, **asked})
    assert caught.value.hint
    assert _names(tmp_path) == set()


@pytest.mark.parametrize("to", ["mlx", "onnx"])
def test_a_missing_runtime_is_named_with_its_command(
    tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    monkeypatch.setattr(checking, "find_spec", lambda name: None)
    with pytest.raises(BackendMissing) as caught:
        edgelfm.convert(tiny_source, to, out=tmp_path, quantization={"mlx": "4bit", "onnx": "int4"}[to], progress=False)
    assert caught.value.hint == f"pip install 'edgelfm[{to}]'"


def test_mlx_with_a_lora(tiny_source: Path, tmp_path: Path, write_adapter: Callable) -> None:
    pytest.importorskip("mlx_lm", reason="to run: pip install 'edgelfm[mlx]'")
    adapter = write_adapter({LEFT: (64, 192)})
    made = edgelfm.convert(
        tiny_source, "mlx", adapter=adapter, quantization="8bit", out=tmp_path / "made", progress=False
    )
    config = json.loads((made.path / "config.json").read_text())
    assert (config["quantization"]["bits"], config["dtype"]) == (8, "bfloat16")
    assert made.agreement.top1 > 0.8
    assert made.path == tmp_path / "made"
    with edgelfm.load(made.path, backend="mlx", tune=False, progress=False) as lfm:
        assert lfm.complete("hello", max_tokens=4, temperature=0).usage.completion_tokens > 0


def test_onnx(tiny_source: Path, tmp_path: Path) -> None:
    for module in ("onnxruntime_genai", "onnx_ir", "torch"):
        pytest.importorskip(module, reason="to run: pip install 'edgelfm[onnx,transformers]' onnx-ir")
    made = edgelfm.convert(tiny_source, "onnx", quantization="fp32", out=tmp_path / "made", progress=False)
    assert {"model.onnx", "genai_config.json", "tokenizer.json"} <= _names(made.path)
    assert made.agreement.top1 == 1.0
    assert made.agreement.kl < 1e-6


@pytest.mark.usefixtures("only_llama_cpp")
def test_the_starter_there_and_back_answers_the_same(starter_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "starter"
    folder.mkdir()
    write_folder(starter_path, folder)
    template = read_header(starter_path).text("tokenizer.chat_template")
    (folder / "chat_template.jinja").write_text(template)
    made = edgelfm.convert(folder, quantization="BF16", text=SAMPLE[:600], progress=False)
    shutil.rmtree(folder)
    before, after = (read_header(path, keep=KEPT).metadata for path in (starter_path, made.path))
    for key in (*KEPT, "tokenizer.ggml.pre", "tokenizer.chat_template", "llama.rope.freq_base"):
        assert after[key] == before[key], key
    with edgelfm.load("starter", tune=False, progress=False) as original:
        wanted = [original.chat(one, max_tokens=16, temperature=0).text for one in QUESTIONS]
    with edgelfm.load(made.path, tune=False, progress=False) as lfm:
        assert [lfm.chat(one, max_tokens=16, temperature=0).text for one in QUESTIONS] == wanted
    for number, path in enumerate((made.path, starter_path)):
        with Evaluator(path, 256) as model:
            logits = model.logits([1, *model.tokenize(SAMPLE)[:255]])
            logits.tofile(tmp_path / f"logits-{number}")
    width = logits.shape[1]
    top1, kl = checking.compare(tmp_path / "logits-0", width, tmp_path / "logits-1", width)
    assert top1 > 0.9
    assert kl < 0.01
