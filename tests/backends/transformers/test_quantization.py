"""Weights of 8 and 4 bits, made while a folder is loaded: what is chosen, what it weighs, and what it still knows."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import edgelfm
from edgelfm.backends.transformers import quantization
from edgelfm.backends.transformers.loading import load
from edgelfm.backends.transformers.session import TransformersSession
from edgelfm.errors import BackendMissing, RequestError
from edgelfm.models.entry import Sampling
from tests.adapters import linear_layers, write_peft
from tests.backends.conftest import settings

#: Bits, who makes them on a CPU, and how far the tiny network may then be from bf16 (KL, nats).
MADE = [("int8", "torchao", 0.005), ("int8", "bitsandbytes", 0.01), ("int4", "bitsandbytes", 0.3)]
PROMPT = [1, *range(20, 80)]
WORDS = 512


def _only(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else is installed."""
    if find_spec(library) is None:
        pytest.skip(f"to run: pip install {library}")
    monkeypatch.setattr(quantization, "find_spec", lambda name: find_spec(name) if name == library else None)


def _probabilities(session: TransformersSession) -> np.ndarray:
    events = session.generate(PROMPT, Sampling(), max_tokens=1, logprobs=WORDS)
    (found,) = (one for event in events for one in event.logprobs)
    row = np.zeros(WORDS)
    for token, _, logprob in found.top:
        row[token] = np.exp(logprob)
    return row


@pytest.mark.parametrize(("bits", "library", "nats"), MADE)
def test_fewer_bits_say_nearly_the_same(
    bits: str, library: str, nats: float, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _only(library, monkeypatch)
    whole = TransformersSession(load(tiny_folder, device="cpu", dtype="bf16"), settings())
    made = TransformersSession(load(tiny_folder, device="cpu", dtype="bf16", quantization=bits), settings())
    p, q = _probabilities(whole), _probabilities(made)
    assert 0 < float((p * np.log(p / q)).sum()) < nats
    assert made.memory().weights < 0.7 * whole.memory().weights


@pytest.mark.parametrize("bits", ["int8", "int4"])
def test_a_folder_is_loaded_in_fewer_bits(
    bits: str, tiny_folder: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    if find_spec("bitsandbytes") is None:
        pytest.skip("to run: pip install bitsandbytes")
    given = {"backend": "transformers", "quantization": bits, "context": 512}
    with edgelfm.load(tiny_folder, progress=False, **given) as lfm, caplog.at_level(logging.WARNING):
        assert lfm.candidate.quantization == bits
        assert f'quantization="{bits}"' in lfm.candidate.load_command
        planned = lfm.candidate.memory.part("weights")
        assert lfm.memory().weights == pytest.approx(planned, rel=0.1)
        talk = lfm.conversation()
        first = talk.send("Hello", temperature=0, max_tokens=6)
        assert talk.send("And now?", temperature=0, max_tokens=6).usage.cached_tokens >= first.usage.prompt_tokens
    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")


def test_an_adapter_runs_beside_weights_of_eight_bits(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _only("torchao", monkeypatch)
    lora = write_peft(tmp_path / "lora", linear_layers(tiny_folder))
    rows = []
    for bits in ("", "int8"):
        loaded = load(tiny_folder, device="cpu", dtype="bf16", quantization=bits, adapter=lora)
        rows.append(_probabilities(TransformersSession(loaded, settings())))
    p, q = rows
    assert float((p * np.log(p / q)).sum()) < 0.02


def test_nobody_makes_them_on_a_mac() -> None:
    with pytest.raises(RequestError, match="nothing makes int4 on mps"):
        quantization.on_the_fly("int4", "mps")


def test_without_a_library_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantization, "find_spec", lambda name: None)
    with pytest.raises(BackendMissing) as caught:
        quantization.on_the_fly("int4", "cuda")
    assert caught.value.hint == "pip install bitsandbytes"
