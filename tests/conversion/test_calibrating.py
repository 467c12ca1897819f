"""Importance matrices that are computed: the sums are right, they are kept, and they do what they are for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

import edgelfm
from edgelfm.backends.adapter import Adapter
from edgelfm.backends.vocabulary import Vocabulary
from edgelfm.conversion import checking, watching
from edgelfm.conversion.calibrating import Calibration, calibrate
from edgelfm.conversion.imatrix import read_imatrix
from edgelfm.conversion.progress import Converting
from edgelfm.conversion.sample import SAMPLE
from edgelfm.conversion.source import read_source
from edgelfm.errors import BackendError, RequestError, UnknownQuantization
from tests.conversion.conftest import write_gguf_of
from tests.tiny_folder import write_tiny_lfm2_folder

#: Modules of transformers, by the names of their matrices in GGUF.
LFM2 = {
    "shortconv.in_proj": "conv.in_proj", "shortconv.out_proj": "conv.out_proj", "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.out_proj",
    "ffn_gate": "feed_forward.w1", "ffn_up": "feed_forward.w3", "ffn_down": "feed_forward.w2",
    "ffn_gate_inp": "feed_forward.gate",
}  # fmt: skip
LLAMA = LFM2 | {
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}  # fmt: skip
LEFT = "model.layers.0.conv.in_proj"


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of 256 inputs, which all of llama.cpp's types can hold."""
    folder = tmp_path_factory.mktemp("sources") / "wide"
    return write_tiny_lfm2_folder(folder, hidden=256, heads=4, feed_forward=256, layers="ca")


@pytest.fixture
def only_llama_cpp(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where neither torch nor MLX is installed, which is quick."""
    monkeypatch.setattr(checking, "find_spec", lambda name: name == "tokenizers" or None)


def _computed(folder: Path, place: Path, text: str = SAMPLE, **options: Any) -> tuple[dict[str, Any], Calibration]:
    base = write_gguf_of(folder, place / "F32.gguf", **options)
    seen = calibrate(base, text, 1, place / "matrix", lambda _: None, own_text=False)
    return {one.name: one.data for one in gguf.GGUFReader(place / "matrix").tensors}, seen


def _pieces(folder: Path) -> list[list[int]]:
    tokens = Vocabulary(folder, read_source(folder).config).tokenize(SAMPLE, special=False)
    return [[1, *tokens[first : first + 511]] for first in range(0, len(tokens), 511)]


@contextmanager
def _transformers(folder: Path) -> Iterator[Any]:
    torch = pytest.importorskip("torch", reason="to run: pip install 'edgelfm[transformers]'")
    transformers = pytest.importorskip("transformers", reason="to run: pip install 'edgelfm[transformers]'")
    with torch.no_grad():
        yield transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def _reference(folder: Path, model: Any, names: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Sums of squares of what goes into each module of transformers, by the name of its matrix in GGUF."""
    import torch

    sums: dict[str, np.ndarray] = {}
    modules = dict(model.named_modules())
    for layer in range(len(model.model.layers)):
        for ours, theirs in names.items():
            module = modules.get(f"model.layers.{layer}.{theirs}")
            if module is None:
                continue

            def add(_: Any, given: tuple[Any, ...], name: str = f"blk.{layer}.{ours}.weight") -> None:
                rows = given[0].reshape(-1, given[0].shape[-1]).double().numpy()
                sums[name] = sums.get(name, 0) + np.square(rows).sum(0)

            module.register_forward_pre_hook(add)
    for piece in _pieces(folder):
        model(torch.tensor([piece]))
    return sums


@pytest.mark.parametrize(("source", "names"), [("tiny_source", LFM2), ("tiny_llama", LLAMA)])
def test_sums_are_those_of_what_transformers_multiplies(
    source: str, names: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(source)
    with _transformers(folder) as model:
        wanted = _reference(folder, model, names)
    found, seen = _computed(folder, tmp_path)
    assert {name.rpartition(".")[0] for name in found} == set(wanted)
    for name, sums in wanted.items():
        np.testing.assert_allclose(found[f"{name}.in_sum2"][0], sums, rtol=2e-3, err_msg=name)
        assert found[f"{name}.counts"].item() == sum(map(len, _pieces(folder)))
    assert seen == Calibration(tokens=sum(len(one) - 1 for one in _pieces(folder)), experts=0, experts_unseen=0)


def test_every_expert_has_sums_of_its_own(tmp_path: Path) -> None:
    """What goes into an expert's first matrices is known by the router's choice, and into its last by arithmetic."""
    folder = write_tiny_lfm2_folder(tmp_path / "mixture", experts=8, layers="cca")
    with _transformers(folder) as model:
        import torch

        layer, asked = model.model.layers[2].feed_forward.experts, []
        layer.register_forward_pre_hook(lambda _, given: asked.append(given[:2]))
        for piece in _pieces(folder):
            model(torch.tensor([piece]))
        inputs, experts = (torch.cat(one) for one in zip(*asked, strict=True))
        gate, up = (inputs @ layer.gate_up_proj.mT).chunk(2, -1)  # expert x token x width
        middle = (torch.nn.functional.silu(gate) * up).numpy()
    found, seen = _computed(folder, tmp_path)
    for expert in range(8):
        mine = (experts == expert).any(-1).numpy()
        wanted = {"gate": inputs.numpy()[mine], "up": inputs.numpy()[mine], "down": middle[expert][mine]}
        for part, values in wanted.items():
            name = f"blk.2.ffn_{part}_exps.weight"
            np.testing.assert_allclose(found[f"{name}.in_sum2"][expert], np.square(values).sum(0), rtol=5e-3, atol=1e-5)
            assert found[f"{name}.counts"][expert].item() == mine.sum()
    assert (seen.experts, seen.experts_unseen) == (8, 0)
    alone, seen = _computed(folder, tmp_path, "a" * 8)
    unseen = (alone["blk.2.ffn_gate_exps.weight.counts"] == 0).sum()
    assert seen.experts_unseen == unseen > 0
    assert any(f"{unseen} of 8 experts never" in note for note in seen.notes(own_text=False))


@pytest.mark.usefixtures("only_llama_cpp")
def test_what_matters_is_kept_better(wide: Path, tmp_path: Path) -> None:
    """At the same size, over a text that was not calibrated with."""
    plain = edgelfm.convert(wide, quantization="Q2_K,IQ3_S", out=tmp_path / "plain", progress=False)
    made = edgelfm.convert(wide, quantization="Q2_K,IQ3_S", calibrate="sample", out=tmp_path / "made", progress=False)
    for without, with_it in zip(plain.files, made.files, strict=True):
        assert with_it.bytes == without.bytes
        assert with_it.agreement.kl < without.agreement.kl
    assert any("edgelfm's own short text" in note for note in made.notes)
    assert plain.imatrix is None


@pytest.mark.usefixtures("only_llama_cpp")
def test_types_that_need_a_matrix_have_one_and_it_can_be_used_again(wide: Path, tmp_path: Path) -> None:
    text = tmp_path / "mine.txt"
    text.write_text(SAMPLE)
    made = edgelfm.convert(wide, quantization="IQ2_XS", calibrate=text, out=tmp_path / "made", progress=False)
    assert {one.name for one in (tmp_path / "made").iterdir()} == {"wide-IQ2_XS.gguf", "wide.imatrix"}
    assert made.imatrix == tmp_path / "made" / "wide.imatrix"
    assert str(made.imatrix) in str(made)
    assert any("flatters" in note for note in made.notes)  # both texts were the sample
    with edgelfm.load(tmp_path / "made", tune=False, progress=False) as lfm:  # the matrix beside it is no model
        assert lfm.complete("hello", max_tokens=2, temperature=0).usage.completion_tokens > 0
    again = edgelfm.convert(
        wide, quantization="IQ2_XS", imatrix=made.imatrix, out=tmp_path / "again.gguf", progress=False
    )
    assert again.sha256 == made.sha256
    with pytest.raises(RequestError, match="there already") as caught:
        edgelfm.convert(wide, quantization="Q4_0", calibrate=text, out=tmp_path / "made", progress=False)
    assert f"--imatrix {made.imatrix}" in caught.value.hint


def test_a_matrix_is_that_of_the_merged_model(tiny_source: Path, tmp_path: Path, write_adapter: Callable) -> None:
    """The adapter changes a matrix: not what goes into it, but what goes into the next."""
    places = [tmp_path / "plain", tmp_path / "merged"]
    for place in places:
        place.mkdir()
    plain, _ = _computed(tiny_source, places[0])
    merged, _ = _computed(tiny_source, places[1], adapter=Adapter(write_adapter({LEFT: (64, 192)})))
    same, other = "blk.0.shortconv.in_proj.weight.in_sum2", "blk.0.shortconv.out_proj.weight.in_sum2"
    np.testing.assert_allclose(merged[same], plain[same], rtol=1e-5)
    assert not np.allclose(merged[other], plain[other], rtol=0.1)


def test_llama_imatrix_would_have_written_it_so(tiny_source: Path, tmp_path: Path) -> None:
    _computed(tiny_source, tmp_path)
    fields = gguf.GGUFReader(tmp_path / "matrix").fields
    assert fields["general.type"].contents() == "imatrix"
    assert fields["imatrix.chunk_size"].contents() == 512
    assert fields["imatrix.chunk_count"].contents() == len(_pieces(tiny_source))
    assert fields["imatrix.datasets"].contents() == ["a text given to edgelfm"]
    means = read_imatrix(tmp_path / "matrix")
    assert means["blk.0.ffn_down.weight"].shape == (128,)


@pytest.mark.usefixtures("only_llama_cpp")
def test_an_interrupted_calibration_leaves_nothing_behind(tiny_source: Path, tmp_path: Path) -> None:
    heard: list[Converting] = []

    def interrupt(now: Converting) -> None:
        heard.append(now)
        if now.step == "reading the text to calibrate with" and now.step_fraction > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        edgelfm.convert(
            tiny_source, quantization="Q4_0", calibrate=SAMPLE * 20, out=tmp_path / "made", progress=interrupt
        )
    assert list((tmp_path / "made").iterdir()) == []
    assert 0 < heard[-1].step_fraction < 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"calibrate": "sample", "imatrix": "mine.imatrix"}, "to compute another"),
        ({"calibrate": "sample", "to": "mlx", "quantization": "4bit"}, "llama.cpp's quantizer"),
        ({"calibrate": "sample", "quantization": "F16,BF16"}, "quantizes nothing"),
        ({"calibrate": "nowhere.txt"}, "11 characters: 'nowhere.txt'"),
        ({"calibrate": Path("nowhere.txt")}, "cannot be read"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_hint(
    tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match=said) as caught:
        edgelfm.convert(tiny_source, progress=False, **{"quantization": "Q4_0", "out": tmp_path, **asked})
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_type_that_needs_a_matrix_says_how_to_have_one(tiny_source: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownQuantization, match="IQ2_XS needs an importance matrix") as caught:
        edgelfm.convert(tiny_source, quantization="IQ2_XS", out=tmp_path, progress=False)
    assert "--calibrate" in caught.value.hint


def test_a_library_that_keeps_tensors_elsewhere_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of half the width are looked for in vain, as would be sides and steps at another place."""
    monkeypatch.setattr(watching, "_F32", 1)
    with pytest.raises(BackendError, match="not known here") as caught:
        watching.Watch([], lambda *seen: None)
    assert "llama-imatrix" in caught.value.hint
