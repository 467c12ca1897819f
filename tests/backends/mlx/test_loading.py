"""Folders that are whole, and the many ways in which one can be broken: the error names the file and the reason."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import edgelfm
from edgelfm.backends.mlx.library import library
from edgelfm.backends.mlx.loading import load
from edgelfm.errors import BackendError, BackendMissing, ModelFileError


def edit(name: str, **values: Any) -> Callable[[Path], None]:
    """Changes keys of a JSON file; None removes one."""

    def change(folder: Path) -> None:
        old = json.loads((folder / name).read_text(encoding="utf-8"))
        new = {key: value for key, value in (old | values).items() if value is not None}
        (folder / name).write_text(json.dumps(new), encoding="utf-8")

    return change


def cut(name: str, keep: int) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:keep])

    return change


def write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def weights(**tensors: dict[str, Any]) -> bytes:
    header = json.dumps(tensors).encode()
    return struct.pack("<Q", len(header)) + header + bytes(16)


def tensor(dtype: str = "F32", shape: Any = (2, 2), offsets: Any = (0, 16)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


WEIGHTS = "model.safetensors"
BROKEN: list[tuple[str, Callable[[Path], object], str]] = [
    ("no folder", lambda folder: shutil.rmtree(folder), "is not a folder"),
    ("no config", lambda folder: (folder / "config.json").unlink(), "config.json is not there"),
    ("config cut", cut("config.json", 100), "config.json cannot be read"),
    ("config a list", write("config.json", b"[1]"), "is not a JSON object"),
    ("unknown family", edit("config.json", model_type="lfm99"), "'lfm99'.*not supported"),
    ("no family", edit("config.json", model_type=None), "no 'model_type' in it"),
    ("a size is missing", edit("config.json", block_dim=None), "block_dim"),
    ("sizes of another model", edit("config.json", vocab_size=600), "shape"),
    ("a layer too many", edit("config.json", num_hidden_layers=7), "parameters"),
    ("code of its own", edit("config.json", model_file="evil.py"), "runs no code of models"),
    ("no weights", lambda folder: (folder / WEIGHTS).unlink(), r"no model\*.safetensors"),
    ("weights empty", write(WEIGHTS, b""), "no complete header"),
    ("weights cut in the header", cut(WEIGHTS, 2000), "no complete header"),
    ("weights cut in the data", cut(WEIGHTS, -1000), "truncated"),
    ("header endless", write(WEIGHTS, struct.pack("<Q", 2**62) + b"{}"), "no complete header"),
    ("header not JSON", write(WEIGHTS, struct.pack("<Q", 4) + b"ab{}"), "broken header"),
    ("header deep", write(WEIGHTS, struct.pack("<Q", 99_999) + b"[" * 99_999), "broken header"),
    ("header a list", write(WEIGHTS, struct.pack("<Q", 2) + b"[]"), "no table of tensors"),
    ("tensor without a type", write(WEIGHTS, weights(w={"shape": [1]})), "'w' in a way that cannot be read"),
    ("tensor of an unknown type", write(WEIGHTS, weights(w=tensor("Q4_0"))), "cannot be read"),
    ("tensor of negative shape", write(WEIGHTS, weights(w=tensor(shape=[-2, -2]))), "says that 'w'"),
    ("tensor larger than its bytes", write(WEIGHTS, weights(w=tensor(shape=[2**40, 4]))), "says that 'w'"),
    ("tensor beyond the file", write(WEIGHTS, weights(w=tensor(offsets=[2**40, 2**40 + 16]))), "truncated"),
    ("a file is missing", write(WEIGHTS + ".index.json", b'{"weight_map": {"a": "model-2.safetensors"}}'), "model-2"),
    ("index empty", write(WEIGHTS + ".index.json", b"{}"), "no weight_map"),
    ("no tokenizer", lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json is not there"),
    ("tokenizer cut", cut("tokenizer.json", 500), "tokenizer.json cannot be read"),
]


@pytest.mark.parametrize(("damage", "reason"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_broken_folder_is_refused_with_the_reason(
    damage: Callable[[Path], object], reason: str, tiny_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "broken")
    damage(folder)
    with pytest.raises(ModelFileError, match=reason) as caught:
        load(folder)
    assert str(folder) in caught.value.message
    assert caught.value.hint


def test_loading_tells_how_far_it_is_and_can_be_abandoned(tiny_folder: Path) -> None:
    told: list[float] = []
    loaded = load(tiny_folder, lambda fraction: told.append(fraction) is None)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert loaded.weight_bytes == 4 * 272_064
    with pytest.raises(BackendError, match="abandoned"):
        load(tiny_folder, lambda fraction: fraction < 0.5)


@pytest.mark.parametrize("module", ["mlx.core", "mlx_lm.utils"])
def test_a_missing_library_says_what_to_install(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BackendMissing, match="is not installed") as caught:
        library.__wrapped__()
    assert caught.value.hint == "pip install 'edgelfm[mlx]'"


def test_finding_the_backend_loads_nothing_heavy() -> None:
    code = (
        "import sys; from edgelfm.backends import registry; registry.get('mlx'); "
        "print([name for name in ('mlx', 'mlx_lm', 'transformers', 'tokenizers') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("folder", ["tiny_folder", "eight_bit_folder"])
def test_a_folder_is_planned_opened_and_talked_to(folder: str, request: pytest.FixtureRequest) -> None:
    with edgelfm.load(request.getfixturevalue(folder), backend="mlx", context=1024) as lfm:
        talk = lfm.conversation(system="Be brief.")
        first = talk.send("Hello", temperature=0, max_tokens=6)
        second = talk.send("And now?", temperature=0, max_tokens=6)
        assert (lfm.candidate.backend, lfm.context) == ("mlx", 1024)
        assert first.usage.completion_tokens > 0
        assert second.usage.cached_tokens >= first.usage.prompt_tokens
