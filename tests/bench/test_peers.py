"""Other runtimes on the same weights: which are found, that they compute the same, and what they are given."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

import edgelfm
from edgelfm.backends.base import Session
from edgelfm.backends.llama_cpp import library
from edgelfm.backends.registry import get
from edgelfm.bench.child import Child
from edgelfm.bench.peers import conversion, find, folders
from edgelfm.bench.peers.bare_loop import BareLoop
from edgelfm.bench.peers.peer import Task
from edgelfm.bench.protocol import QUESTION, Settings, prompt_ids
from edgelfm.bench.run import run
from edgelfm.errors import BackendError, NoDiskSpace
from edgelfm.models.entry import Role, Sampling
from edgelfm.models.gguf import read_header
from edgelfm.planning.plan import Candidate

finding = find.__globals__  # the module, whose name the function has taken


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGELFM_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def task(tiny: Candidate, tiny_path: Path) -> Task:
    return Task(str(tiny_path), 512, "tiny", "F16", "", "", finding["_values"](tiny.settings))


@pytest.fixture(scope="module")
def starter_session(starter_path: Path) -> Iterator[Session]:
    chosen = edgelfm.plan(starter_path, context=512, threads=2).chosen
    assert chosen is not None
    opened = get(chosen.backend)(chosen, {"weights": starter_path})
    yield opened
    opened.close()


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say that packages are not installed."""

    def hide(*packages: str) -> None:
        real = finding["find_spec"]
        monkeypatch.setitem(finding, "find_spec", lambda name: None if name in packages else real(name))

    return hide


class TestFinding:
    def test_what_is_not_installed_is_told_with_the_command(
        self, tiny: Candidate, tiny_files: Mapping[Role, Path], cache: Path, without: Callable[..., None]
    ) -> None:
        without("torch", "onnxruntime_genai", "mlx_lm")
        found = find(tiny, tiny_files, 512)
        assert [runner.name for runner in found.runners] == [
            "llama.cpp bare loop",
            "llama-cpp-python",
            "llama-cpp-python, tuned",
        ]
        assert [note.split()[0] for note in found.notes] == ["transformers", "onnxruntime-genai", "mlx"]
        assert all("pip install 'edgelfm[peers]'" in note for note in found.notes)
        assert not list(cache.glob("peers/*"))  # nothing is converted for a runtime that is not there

    def test_a_model_in_a_folder_is_not_compared(self, tiny: Candidate, tmp_path: Path) -> None:
        found = find(tiny, {"weights": tmp_path}, 512)
        assert found.runners == ()
        assert "GGUF" in found.notes[0]

    def test_a_runtime_that_would_not_fit_is_left_out(
        self, tiny: Candidate, tiny_files: Mapping[Role, Path], cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(finding, "_missing", lambda kind: "")
        monkeypatch.setitem(finding, "_KINDS", [one for one in finding["_KINDS"] if one.name == "transformers"])
        object.__setattr__(tiny.model, "parameters", 10**12)
        found = find(tiny, tiny_files, 512)
        assert found.runners == ()
        assert "it needs about 2048.91 GiB" in found.notes[0]

    def test_they_run_with_the_patience_that_their_own_users_have(
        self, tiny: Candidate, tiny_files: Mapping[Role, Path], cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(finding, "_KINDS", finding["_KINDS"][:1])
        monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
        for ours, seen in ((library.SPIN_COUNT, None), ("77", "77")):
            monkeypatch.setenv("GOMP_SPINCOUNT", ours)
            child = find(tiny, tiny_files, 512).runners[0]
            assert isinstance(child, Child)
            assert child._environment.get("GOMP_SPINCOUNT") == seen


class TestTheSameWork:
    def test_they_read_what_edgelfm_reads(self, task: Task, session: Session) -> None:
        peer = BareLoop(task)
        peer.prepare()
        peer.open()
        try:
            theirs = prompt_ids(peer.tokenize, 5, 100, peer.bos)
        finally:
            peer.close()
        bos = session.tokenize(session.special_tokens().get("bos_token", ""))
        assert theirs == prompt_ids(lambda text: session.tokenize(text, special=False), 5, 100, bos)

    def test_all_that_are_installed_are_measured_in_turns(
        self, tiny: Candidate, tiny_files: Mapping[Role, Path], cache: Path
    ) -> None:
        others = find(tiny, tiny_files, 512)
        settings = Settings(prompt=2 * QUESTION, tokens=4, depths=(16,), repetitions=1, patience=0)
        report = run(
            others.runners, settings, host=edgelfm.inspect(bandwidth=False), command="edgelfm bench tiny --peers"
        )
        assert {result.subject.name: result.failure for result in report.results} == {
            runner.name: "" for runner in others.runners
        }
        assert {"llama.cpp bare loop", "llama-cpp-python"} <= {result.subject.name for result in report.results}
        by_name = {result.subject.name: [one.kind for one in result.series] for result in report.results}
        for name, kinds in by_name.items():
            assert kinds[:4] == ["load", "first_token_cold", "prefill", "decode"], name
        assert "first_token_after_edit" in by_name["llama-cpp-python"]
        assert "first_token_after_edit" not in by_name["llama.cpp bare loop"]  # it keeps nothing


class TestConversion:
    def test_a_widened_lfm2_answers_as_the_gguf(self, tiny_path: Path, session: Session, tmp_path: Path) -> None:
        conversion.write_folder(tiny_path, tmp_path)
        assert_same_answer(tmp_path, session, "Hello there")

    def test_a_widened_llama_answers_as_the_gguf(
        self, starter_path: Path, starter_session: Session, tmp_path: Path
    ) -> None:
        conversion.write_folder(starter_path, tmp_path)
        assert_same_answer(tmp_path, starter_session, "The capital of France is")

    @pytest.mark.parametrize(
        "text", ["It's 12345 o'clock,  isn't it?\n\n\tYES", "日本語とemoji 🦊!", " a  b\r\nc 1.5e3"]
    )
    def test_text_becomes_the_same_tokens(self, text: str, starter_path: Path, starter_session: Session) -> None:
        tokenizers = pytest.importorskip("tokenizers")
        from edgelfm.bench.peers.tokenizer_json import KEPT, tokenizer_json

        read = tokenizers.Tokenizer.from_str(json.dumps(tokenizer_json(read_header(starter_path, keep=KEPT))))
        assert read.encode(text, add_special_tokens=False).ids == list(starter_session.tokenize(text, special=False))

    def test_a_folder_is_made_once(self, tiny_path: Path, cache: Path) -> None:
        heard: list[str] = []
        first = folders.Folders(tiny_path, "ab" * 32, heard.append).get("hf")
        assert heard[-1] == "Widening tiny-lfm2-F16.gguf to bf16: 100%"
        heard.clear()
        assert folders.Folders(tiny_path, "ab" * 32, heard.append).get("hf") == first
        assert heard == []
        assert sorted(os.listdir(first)) == [
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
        ]
        assert os.listdir(cache / "peers") == [first.name]

    def test_a_conversion_that_breaks_leaves_nothing(
        self, tiny_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(conversion, "_bf16", broken)
        with pytest.raises(BackendError, match="No space left") as caught:
            folders.Folders(tiny_path, "ab" * 32, print).get("hf")
        assert "EDGELFM_CACHE" in caught.value.hint
        assert os.listdir(cache / "peers") == []

    def test_a_full_disk_is_noticed_before(self, tiny_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real = shutil.disk_usage(cache)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: real._replace(free=10))
        with pytest.raises(NoDiskSpace, match="10 B free"):
            folders.Folders(tiny_path, "ab" * 32, print).get("hf")

    def test_a_mixture_of_experts_is_turned_down(self, tmp_path: Path, cache: Path) -> None:
        from tests.tiny import write_tiny_lfm2

        path = write_tiny_lfm2(tmp_path / "moe.gguf", experts=4)
        with pytest.raises(BackendError, match="only Llama and LFM2 models are converted for it, not 'lfm2moe'"):
            folders.Folders(path, "cd" * 32, print).get("hf")


def assert_same_answer(folder: Path, session: Session, text: str) -> None:
    """MLX on the folder writes the tokens that llama.cpp writes on the file."""
    mlx = pytest.importorskip("mlx.core", reason="needs: pip install 'edgelfm[mlx]'")
    from mlx_lm.models.cache import make_prompt_cache
    from mlx_lm.utils import load_model

    model, _ = load_model(folder)
    model.set_dtype(mlx.float32)
    ids = list(session.tokenize(text, special=False))
    cache = make_prompt_cache(model)
    logits, written = model(mlx.array([ids]), cache=cache), []
    for _ in range(4):
        written.append(int(logits[0, -1].argmax().item()))
        logits = model(mlx.array([[written[-1]]]), cache=cache)
    assert written == _greedy(session, ids, 4)


def _greedy(session: Session, ids: list[int], tokens: int) -> list[int]:
    plain = Sampling(temperature=0.0, repetition_penalty=1.0, min_p=0.0)
    return [token for event in session.generate(ids, plain, max_tokens=tokens) for token in event.ids]
