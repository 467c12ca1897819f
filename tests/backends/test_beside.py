"""A LoRA beside a model computes what it would merged into the weights, in every runtime that can have one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from edgelfm.backends.adapter import Adapter, name_in_mlx
from edgelfm.backends.base import Adapting, Session
from edgelfm.conversion.lora_file import as_read_by
from edgelfm.conversion.merged import write_merged
from edgelfm.conversion.source import read_source
from edgelfm.errors import ModelFileError, StateRefused
from edgelfm.models.lora import read_lora
from tests.adapters import linear_layers, write_mlx, write_peft
from tests.backends.test_parity import NEEDED, TEXTS, TOLERANCE, _open, ids, row, run
from tests.tiny_folder import write_tiny_lfm2_folder

pytestmark = pytest.mark.skipif(
    any(find_spec(module) is None for module in NEEDED), reason="needs: pip install 'edgelfm[peers,convert]' onnx"
)

RUNTIMES = ("transformers", "llama.cpp", "mlx")
#: Sums are rounded in another order; llama.cpp rounds keys and values to 16 bits, and this adapter makes them larger.
NEAR = {**TOLERANCE, "transformers": 1e-4, "llama.cpp": 1e-2}
Opened = dict[str, Session]


class Network:
    """One network in all runtimes, the reference that has an adapter merged into its weights, and that adapter."""

    def __init__(self, folder: Path, made: Path) -> None:
        self.folder = folder
        self.layers = linear_layers(folder)
        self.lora = write_peft(made / "lora", self.layers)
        merged = made / "merged"
        merged.mkdir()
        write_merged(merged, source := read_source(folder), Adapter(self.lora))
        self.net = source.net
        self.sessions = {name: _open(name, folder, made) for name in RUNTIMES}
        self.reference = _open("transformers", merged, made)

    def use(self, lora: Path | None) -> Opened:
        """All sessions, with this adapter or none."""
        for name, session in self.sessions.items():
            assert isinstance(session, Adapting)
            session.use_adapter(as_read_by(name, read_lora(lora), self.net) if lora else None)
        return self.sessions

    def close(self) -> None:
        for session in (*self.sessions.values(), self.reference):
            session.close()


@pytest.fixture(scope="module", params=["lfm2", "llama"])
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """The tiny LFM2 and the llama as small, whose queries and keys llama.cpp keeps in another order."""
    folder = request.getfixturevalue({"lfm2": "tiny_folder", "llama": "tiny_llama_folder"}[request.param])
    made = Network(folder, tmp_path_factory.mktemp(request.param))
    yield made
    made.close()


def test_every_word_is_as_likely_as_with_merged_weights(network: Network) -> None:
    sessions = network.use(network.lora)
    for text in TEXTS:
        prompt = ids(network.reference, text)
        expected = row(network.reference, prompt)
        likeliest = np.argsort(-expected)[:20]
        for name, session in sessions.items():
            assert row(session, prompt)[likeliest] == pytest.approx(expected[likeliest], abs=NEAR[name]), name


def test_the_same_tokens_as_with_merged_weights(network: Network) -> None:
    prompt = ids(network.reference, "The tall oak")
    expected = run(network.reference, prompt)
    for name, session in network.use(network.lora).items():
        assert run(session, prompt) == expected, name


def test_an_adapter_of_mlx_is_the_same_everywhere(network: Network, tmp_path: Path) -> None:
    lora = write_mlx(tmp_path / "adapters", network.layers)
    prompt = ids(network.reference, "The tall oak")
    expected = run(network.reference, prompt)
    for name, session in network.use(lora).items():
        assert run(session, prompt) == expected, name


def test_without_it_the_weights_are_what_they_were(network: Network) -> None:
    prompt = ids(network.reference, "The tall oak")
    plain = {name: (run(one, prompt), one.memory().weights) for name, one in network.use(None).items()}
    for name, session in network.use(network.lora).items():
        assert run(session, prompt) != plain[name][0], name
        assert session.memory().weights > plain[name][1], name
    for name, session in network.use(None).items():
        assert (run(session, prompt), session.memory().weights) == plain[name], name


def test_one_takes_the_place_of_the_other(network: Network, tmp_path: Path) -> None:
    other = write_peft(tmp_path / "other", network.layers, seed=2)
    prompt = ids(network.reference, "a")
    alone = {name: run(one, prompt) for name, one in network.use(other).items()}
    network.use(network.lora)
    assert {name: run(one, prompt) for name, one in network.use(other).items()} == alone


def test_a_state_belongs_to_the_adapter_that_made_it(network: Network) -> None:
    prompt = ids(network.reference, "def f(x):\n    return x\n" * 6)
    states = {}
    for name, session in network.use(network.lora).items():
        run(session, prompt)
        states[name] = session.export_state(prompt)
        assert states[name] is not None, name
    for name, session in network.use(None).items():
        assert session.kept().tokens == 0, name  # a conversation is read again
        with pytest.raises(StateRefused, match="another adapter"):
            session.import_state(states[name])  # type: ignore[arg-type]
    for name, session in network.use(network.lora).items():
        session.import_state(states[name])  # type: ignore[arg-type]


def test_mlx_finds_the_layers_of_a_mixture_by_both_of_their_names(tmp_path: Path) -> None:
    """It has its own for three of them; an adapter may have been trained there or elsewhere."""
    folder = write_tiny_lfm2_folder(tmp_path / "moe", experts=4)
    dense = {name: sides for name, sides in linear_layers(folder).items() if re.search(r"feed_forward\.w\d", name)}
    published = write_peft(tmp_path / "published", dense)
    own = write_mlx(tmp_path / "own", {name_in_mlx(name): sides for name, sides in dense.items()})
    session = _open("mlx", folder, tmp_path)
    assert isinstance(session, Adapting)
    replies = []
    for lora in (None, published, own):
        session.use_adapter(lora)
        replies.append(run(session, ids(session, "The tall oak")))
    session.close()
    assert replies[0] != replies[1] == replies[2]


WRONG: dict[str, tuple[dict[str, tuple[int, int]], str]] = {
    "of another model": ({"model.layers.0.mixer": (64, 64)}, "changes model.layers.0.mixer"),
    "of another size": ({"model.layers.2.self_attn.q_proj": (32, 64)}, r"adds \(64, 32\)"),
    "of an embedding": ({"model.embed_tokens": (64, 512)}, "beside a model"),
}


@pytest.mark.parametrize(("layers", "said"), WRONG.values(), ids=WRONG)
def test_one_that_does_not_fit_is_refused_and_the_old_one_stays(
    network: Network, tmp_path: Path, layers: dict[str, tuple[int, int]], said: str
) -> None:
    wrong = write_peft(tmp_path / "wrong", layers)
    prompt = ids(network.reference, "The tall oak")
    expected = run(network.reference, prompt)
    for name, session in network.use(network.lora).items():
        assert isinstance(session, Adapting)
        with pytest.raises(ModelFileError, match=said) as caught:
            session.use_adapter(as_read_by(name, read_lora(wrong), network.net))
        assert caught.value.hint
        assert run(session, prompt) == expected, name


def test_a_dora_is_to_be_merged(network: Network, write_adapter: Callable[..., Path]) -> None:
    dora = write_adapter({"model.layers.2.self_attn.q_proj": (64, 64)}, dora=True)
    for name, session in network.use(None).items():
        assert isinstance(session, Adapting)
        with pytest.raises(ModelFileError, match="DoRA") as caught:
            session.use_adapter(as_read_by(name, read_lora(dora), network.net))
        assert "edgelfm convert" in caught.value.hint
