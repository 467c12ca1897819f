"""Files that must not load, and loads that must be stoppable."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelfm.backends.llama_cpp import loading, trial
from edgelfm.backends.llama_cpp.session import LlamaSession
from edgelfm.errors import BackendError, ModelFileError
from tests.backends.conftest import settings

Open = Callable[..., LlamaSession]


def damaged(source: Path, target: Path, how: Callable[[bytearray], bytearray]) -> Path:
    target.write_bytes(how(bytearray(source.read_bytes())))
    return target


DAMAGE = {
    "empty": lambda data: bytearray(),
    "four bytes": lambda data: data[:4],
    "not a model": lambda data: bytearray(b"<!DOCTYPE html><title>404</title>" * 50),
    "another format": lambda data: bytearray(b"PK\x03\x04") + data[4:],
    "a version from the future": lambda data: data[:4] + struct.pack("<I", 99) + data[8:],
    "a billion tensors": lambda data: data[:8] + struct.pack("<Q", 10**9) + data[16:],
    "2**60 keys": lambda data: data[:16] + struct.pack("<Q", 2**60) + data[24:],
    "a key of 2**62 bytes": lambda data: data[:24] + struct.pack("<Q", 2**62) + data[32:],
    "half a header": lambda data: data[:3000],
    "half the weights": lambda data: data[: len(data) // 2],
    "the last byte missing": lambda data: data[:-4096],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_refused_with_a_reason(damage: str, tiny_path: Path, tmp_path: Path) -> None:
    path = damaged(tiny_path, tmp_path / "bad.gguf", DAMAGE[damage])
    with pytest.raises(ModelFileError) as caught:
        loading.load(path, settings())
    assert "bad.gguf" in str(caught.value)
    assert "gave no reason" not in str(caught.value)
    assert "edgelfm pull" in caught.value.hint


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="nowhere"):
        loading.load(tmp_path / "nowhere.gguf", settings())


def test_a_file_that_loaded_once_is_not_tried_again(
    tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGELFM_CACHE", str(tmp_path))
    trial.require_loadable(tiny_path, "1.0")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python-here"))
    trial.require_loadable(tiny_path, "1.0")
    with pytest.raises(BackendError, match="child process"):
        trial.require_loadable(tiny_path, "1.1")  # another library may think otherwise


def test_a_crash_of_the_child_is_told_and_survived(tiny_path: Path, tmp_path: Path) -> None:
    """Zero heads make llama.cpp divide by zero or fail an assertion; whichever, it happens to the child."""

    def no_heads(data: bytearray) -> bytearray:
        at = data.index(b"lfm2.attention.head_count") + len(b"lfm2.attention.head_count") + 4
        data[at : at + 4] = struct.pack("<I", 0)
        return data

    with pytest.raises(ModelFileError):
        loading.load(damaged(tiny_path, tmp_path / "headless.gguf", no_heads), settings())


def test_loading_can_be_watched(tiny_path: Path) -> None:
    seen: list[float] = []
    loading.load(tiny_path, settings(), lambda fraction: seen.append(fraction) or True).free()
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_loading_can_be_abandoned(tiny_path: Path) -> None:
    with pytest.raises(BackendError, match="abandoned"):
        loading.load(tiny_path, settings(), lambda fraction: False)


def test_an_interrupt_while_loading_is_an_interrupt(tiny_path: Path) -> None:
    def interrupt(fraction: float) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loading.load(tiny_path, settings(), interrupt)


@pytest.mark.parametrize("kv_type", ["f16", "q8_0", "q4_0"])
@pytest.mark.parametrize("mmap", [False, True])
def test_every_setting_loads_and_answers(kv_type: str, mmap: bool, starter_path: Path, open_session: Open) -> None:
    from edgelfm.models.entry import Sampling

    session = open_session(starter_path, kv_type=kv_type, mmap=mmap, context=512)
    text = "".join(
        e.text for e in session.generate(session.tokenize("The capital of France is"), Sampling(), max_tokens=4)
    )
    assert "Paris" in text


def test_sizes_are_known_even_if_other_code_took_the_log(tiny_path: Path, open_session: Open) -> None:
    import llama_cpp

    silent = llama_cpp.llama_log_callback(lambda level, text, user_data: None)
    llama_cpp.llama_log_set(silent, None)
    assert open_session(tiny_path).memory().weights > 0
