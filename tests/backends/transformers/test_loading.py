"""Folders that are whole, and the many ways in which one can be broken: the error names the file and the reason."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import edgelfm
from edgelfm.backends.transformers import choice, numbers
from edgelfm.backends.transformers.library import library, require_recent
from edgelfm.backends.transformers.loading import load
from edgelfm.backends.transformers.session import TransformersSession
from edgelfm.decision import Decision
from edgelfm.errors import BackendError, BackendMissing, ModelFileError, PlanningError, RequestError
from tests.backends.conftest import settings
from tests.tiny_folder import write_tiny_lfm2_folder

WEIGHTS = "model.safetensors"


def edit(name: str, **values: Any) -> Callable[[Path], None]:
    """Changes keys of a JSON file; None removes one."""

    def change(folder: Path) -> None:
        old = json.loads((folder / name).read_text(encoding="utf-8"))
        new = {key: value for key, value in (old | values).items() if value is not None}
        (folder / name).write_text(json.dumps(new), encoding="utf-8")

    return change


def cut(name: str, keep: int) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:keep]) and None


def write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def tensors(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Changes the table of weights, a dictionary of torch's tensors."""

    def apply(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        table = load_file(folder / WEIGHTS)
        change(table)
        save_file(table, folder / WEIGHTS, {"format": "pt"})

    return apply


class Bomb:
    """What a pickle can do: unpickling this writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


def pickled(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(folder / "exploded")))


def program(folder: Path) -> None:
    """A family of its own, whose program writes a file when it is imported."""
    (folder / "evil.py").write_text(f"open({str(folder / 'exploded')!r}, 'w')\n")
    auto = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    edit("config.json", model_type="evil", auto_map=auto)(folder)


NORM = "model.layers.0.operator_norm.weight"
BROKEN: list[tuple[str, Callable[[Path], object], str]] = [
    ("no folder", lambda folder: shutil.rmtree(folder), "is not a folder"),
    ("no config", remove("config.json"), "config.json is not there"),
    ("config cut", cut("config.json", 100), "config.json cannot be read"),
    ("unknown family", edit("config.json", model_type="lfm99"), "lfm99"),
    ("no family", edit("config.json", model_type=None, architectures=None), "config.json"),
    ("a family that writes no text", edit("config.json", model_type="vit"), "no language model of the family 'vit'"),
    ("a size is no number", edit("config.json", hidden_size="large"), "config.json"),
    ("code of its own", program, "comes with a program of its own for the family 'evil'"),
    ("sizes of another model", edit("config.json", vocab_size=600), "embed_tokens.weight has the shape"),
    ("a layer too many", edit("config.json", num_hidden_layers=7), "do not fit"),
    ("a layer too few", edit("config.json", num_hidden_layers=5, full_attn_idxs=[2]), "do not fit"),
    ("a weight is missing", tensors(lambda table: table.pop(NORM)), f"{NORM} is missing"),
    ("a weight too many", tensors(lambda table: table.update(other=table[NORM].clone())), "other belongs to nothing"),
    ("a weight of another shape", tensors(lambda table: table.update({NORM: table[NORM][:5].clone()})), "should have"),
    ("pickled weights", pickled, "holds its weights as pickle"),
    ("an adapter", write("adapter_config.json", b"{}"), "is an adapter, not a model"),
    ("no weights", remove(WEIGHTS), r"no model\*.safetensors"),
    ("weights cut in the header", cut(WEIGHTS, 2000), "no complete header"),
    ("weights cut in the data", cut(WEIGHTS, -1000), "truncated"),
    ("header endless", write(WEIGHTS, struct.pack("<Q", 2**62) + b"{}"), "no complete header"),
    ("a file is missing", write(WEIGHTS + ".index.json", b'{"weight_map": {"a": "model-2.safetensors"}}'), "model-2"),
    ("no tokenizer", remove("tokenizer.json"), "tokenizer.json is not there"),
    ("tokenizer cut", cut("tokenizer.json", 500), "tokenizer.json cannot be read"),
]


@pytest.mark.parametrize(("damage", "reason"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_broken_folder_is_refused_with_the_reason(
    damage: Callable[[Path], object], reason: str, tiny_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "broken")
    damage(folder)
    with pytest.raises(ModelFileError, match=reason) as caught:
        load(folder)
    assert str(folder) in caught.value.message
    assert caught.value.hint
    assert not (folder / "exploded").exists()  # nothing that lay in it was run
    assert capfd.readouterr() == ("", "")


def test_pickles_beside_safetensors_do_not_matter(tiny_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "both")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(folder / "exploded")))
    assert load(folder).weight_bytes == load(tiny_folder).weight_bytes
    assert not (folder / "exploded").exists()


def test_code_beside_a_family_that_transformers_knows_is_not_run(tiny_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "native")
    program(folder)
    edit("config.json", model_type="lfm2")(folder)
    assert type(load(folder).model).__module__.startswith("transformers.models.lfm2.")
    assert not (folder / "exploded").exists()


def test_loading_tells_how_far_it_is_and_can_be_abandoned(tiny_folder: Path) -> None:
    told: list[float] = []
    loaded = load(tiny_folder, lambda fraction: told.append(fraction) is None)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) > 50
    assert loaded.weight_bytes - 4 * 272_064 < 1000  # and the frequencies of the positions
    with pytest.raises(BackendError, match="abandoned"):
        load(tiny_folder, lambda fraction: fraction < 0.5)


def test_ctrl_c_while_loading_leaves_nothing_behind(tiny_folder: Path) -> None:
    def interrupt(fraction: float) -> bool:
        raise KeyboardInterrupt

    from transformers.utils import logging

    before = logging.get_verbosity(), logging.set_tqdm_hook(None)
    with pytest.raises(KeyboardInterrupt):
        load(tiny_folder, interrupt)
    assert (logging.get_verbosity(), logging.set_tqdm_hook(None)) == before
    assert load(tiny_folder).weight_bytes


@pytest.mark.parametrize(("module", "missing"), [("torch", "torch"), ("transformers.utils.logging", "transformers")])
def test_a_missing_library_says_what_to_install(module: str, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BackendMissing, match=f"{missing} is not installed") as caught:
        library.__wrapped__()
    assert caught.value.hint == "pip install 'edgelfm[transformers]'"


@pytest.mark.parametrize(
    ("version", "accepted"), [("5.14.1", False), ("4.57.0", False), ("5.15.0", True), ("6.0", True)]
)
def test_releases_that_compute_pieces_of_a_prompt_wrongly_are_refused(version: str, accepted: bool) -> None:
    if accepted:
        require_recent(version)
        return
    with pytest.raises(BackendError, match=f"{version} is too old") as caught:
        require_recent(version)
    assert "--upgrade" in caught.value.hint


def test_finding_the_backend_loads_nothing_heavy() -> None:
    code = (
        "import sys; import edgelfm.backends.transformers; "
        "print([name for name in ('torch', 'transformers', 'tokenizers', 'numpy') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_nothing_is_said_from_the_import_to_the_end_of_a_reply(tiny_folder: Path) -> None:
    """In a process of its own: what a library says once, it may have said in this one already."""
    code = f"""
import socket
def refuse(*given): raise AssertionError("nobody may be asked on the network")
socket.socket.connect = socket.getaddrinfo = refuse
from pathlib import Path
from edgelfm.backends.transformers.loading import load
from edgelfm.backends.transformers.session import TransformersSession
from edgelfm.models.entry import Sampling
from tests.backends.conftest import settings
session = TransformersSession(load(Path({str(tiny_folder)!r})), settings())
for sampling in (Sampling(), Sampling(temperature=1.0)):
    for event in session.generate([20, 21, 22, 23], sampling, max_tokens=4):
        pass
session.close()
"""
    done = subprocess.run([sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


class TestChoice:
    """Whichever device and numbers were not asked for, with the reason."""

    @pytest.mark.parametrize(
        ("stored", "native", "expected"),
        [
            ("bfloat16", "avx512_bf16", "bf16"),
            ("float16", "avx512_bf16", "f32"),
            ("float32", "avx512_bf16", "f32"),
        ],
    )
    def test_numbers_on_a_cpu(self, stored: str, native: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(choice, "native_bf16", lambda: native)
        decision = choice.choose_dtype(library().torch, "cpu", stored, None)
        assert decision.value == expected
        assert decision.reason

    @pytest.mark.parametrize(("ratio", "expected"), [(0.6, "bf16"), (4.0, "f32")])
    def test_a_cpu_without_arithmetic_for_bf16_is_measured_once(
        self, ratio: float, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("EDGELFM_CACHE", str(tmp_path))
        monkeypatch.setattr(choice, "native_bf16", lambda: "")
        measured = iter([[ratio, 1.0]])  # seconds of a turn in bf16 and in f32; nothing the second time
        monkeypatch.setattr(numbers, "_turns", lambda torch, dtypes: next(measured))
        for _ in range(2):
            decision = choice.choose_dtype(library().torch, "cpu", "bfloat16", None)
            assert (decision.value, decision.grade) == (expected, "measured")
            assert f"{ratio}" in decision.reason

    def test_measuring_it_computes(self) -> None:
        torch = library().torch
        half, whole = numbers._turns(torch, (torch.bfloat16, torch.float32))
        assert 0.01 < half / whole < 100

    def test_what_was_measured_as_it_was_loaded_is_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("EDGELFM_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(choice, "native_bf16", lambda: "")
        monkeypatch.setattr(choice, "bf16_ratio", lambda torch: 0.5)
        folder = write_tiny_lfm2_folder(tmp_path / "half", dtype="float16")
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "dtype": "bfloat16"}))
        unknown = Decision("f32", "nobody has measured it", "unknown")
        planned = replace(settings(), dtype=unknown)
        session = TransformersSession(load(folder, device="cpu"), planned)
        assert session.remarks == (
            "weights are held in bf16 and not in f32: as the weights are stored; a turn took 0.50 of its time in f32",
        )

    def test_what_was_asked_for_is_taken(self, tiny_folder: Path) -> None:
        loaded = load(tiny_folder, device="cpu", dtype="bf16")
        assert (loaded.device.value, loaded.dtype.value) == ("cpu", "bf16")
        assert loaded.device.asked
        assert str(loaded.model.dtype) == "torch.bfloat16"

    @pytest.mark.parametrize("given", [{"dtype": "int3"}, {"device": "abacus"}])
    def test_what_cannot_be_had_is_refused(self, given: dict[str, str], tiny_folder: Path) -> None:
        with pytest.raises(RequestError) as caught:
            load(tiny_folder, **{"device": "cpu", **given})
        assert "choose" in caught.value.hint

    def test_a_gpu_that_is_not_there_is_not_replaced_silently(
        self, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(library().torch.cuda, "is_available", lambda: False)
        with pytest.raises(BackendError, match="finds no cuda device"):
            load(tiny_folder, device="cuda")


def test_quantized_keys_and_values_are_not_promised(tiny_folder: Path) -> None:
    with pytest.raises(PlanningError, match="not in q8_0") as caught:
        edgelfm.load(tiny_folder, backend="transformers", kv_type="q8_0")
    assert caught.value.hint == "leave kv_type out, or use backend='mlx'"


@pytest.mark.parametrize("folder", ["tiny_folder", "llama_folder"])
def test_a_folder_is_planned_opened_and_talked_to(folder: str, request: pytest.FixtureRequest) -> None:
    with edgelfm.load(request.getfixturevalue(folder), backend="transformers", context=1024) as lfm:
        talk = lfm.conversation(system="Be brief.")
        first = talk.send("Hello", temperature=0, max_tokens=6)
        second = talk.send("And now?", temperature=0, max_tokens=6)
        assert (lfm.candidate.backend, lfm.context) == ("transformers", 1024)
        assert first.usage.completion_tokens > 0
        assert second.usage.cached_tokens >= first.usage.prompt_tokens
