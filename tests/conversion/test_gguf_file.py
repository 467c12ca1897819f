"""A GGUF holds exactly the weights of the folder, under llama.cpp's names, and computes the same."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest

from edgelfm.backends.adapter import Adapter
from edgelfm.backends.weights import Weights
from edgelfm.conversion.header import frequencies
from edgelfm.conversion.logits_llama_cpp import Evaluator
from edgelfm.conversion.source import read_source
from edgelfm.errors import ModelFileError
from edgelfm.models.from_header import architecture_of
from edgelfm.models.gguf import read_header
from tests.adapters import write_peft
from tests.conversion.conftest import write_gguf_of
from tests.tiny import write_tiny_lfm2
from tests.tiny_folder import _write_safetensors, write_tiny_lfm2_folder

TOKENS = [1, *range(20, 90, 3)]


def _tensors(path: Path) -> dict[str, np.ndarray]:
    return {one.name: np.array(one.data, np.float32) for one in gguf.GGUFReader(path).tensors}


def _same(one: Path, other: Path) -> bool:
    ours, theirs = _tensors(one), _tensors(other)
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("kind", ["F32", "F16"])
def test_every_tensor_is_that_of_the_original(tiny_source: Path, tiny_path: Path, tmp_path: Path, kind: str) -> None:
    assert _same(write_gguf_of(tiny_source, tmp_path / "made.gguf", kind), tiny_path)


def test_the_header_says_what_the_original_says(tiny_source: Path, tiny_path: Path, tmp_path: Path) -> None:
    made = read_header(write_gguf_of(tiny_source, tmp_path / "made.gguf"))
    original = read_header(tiny_path)
    assert architecture_of(made) == architecture_of(original)
    assert made.text("general.size_label") == "272K"
    own = {"general.name", "general.file_type", "tokenizer.ggml.add_bos_token"}
    assert {key: made.metadata.get(key) for key in original.metadata.keys() - own} == {
        key: value for key, value in original.metadata.items() if key not in own
    }


def test_a_mixture_keeps_every_expert_in_its_place(tmp_path: Path) -> None:
    original = write_tiny_lfm2(tmp_path / "original.gguf", experts=4)
    folder = write_tiny_lfm2_folder(tmp_path / "moe", experts=4)
    made = write_gguf_of(folder, tmp_path / "made.gguf", "F16")
    assert _same(made, original)
    assert architecture_of(read_header(made)) == architecture_of(read_header(original))


def test_the_name_and_the_licence_of_the_card_are_kept(tiny_copy: Path, tmp_path: Path) -> None:
    card = "---\nlicense: other\nlicense_name: lfm1.0\nlicense_link: LICENSE\ntags: [a]\n---\n# Words\n"
    (tiny_copy / "README.md").write_text(card)
    made = read_header(write_gguf_of(tiny_copy, tmp_path / "made.gguf"))
    assert [made.text(f"general.{key}") for key in ("name", "license", "license.name")] == [
        "tiny-lfm2",
        "other",
        "lfm1.0",
    ]


@pytest.mark.parametrize("card", ["---\nlicense: [\n---\n", "no card", "---\n- a list\n---\n"])
def test_a_card_that_cannot_be_read_is_no_obstacle(tiny_copy: Path, tmp_path: Path, card: str) -> None:
    (tiny_copy / "README.md").write_text(card)
    assert read_header(write_gguf_of(tiny_copy, tmp_path / "made.gguf")).text("general.license") == ""


def test_an_adapter_is_merged_into_the_file(tiny_source: Path, tmp_path: Path, write_adapter) -> None:
    module = "model.layers.2.self_attn.q_proj"
    adapter = Adapter(write_adapter({module: (64, 64)}))
    made = _tensors(write_gguf_of(tiny_source, tmp_path / "made.gguf", adapter=adapter))
    delta = adapter.deltas[f"{module}.weight"]
    with Weights(tiny_source) as plain:
        wanted = plain.rows(f"{module}.weight") + 2.0 * (delta.b @ delta.a)
    np.testing.assert_allclose(made["blk.2.attn_q.weight"], wanted, atol=1e-6)


def test_weights_that_do_not_belong_to_the_configuration_are_refused(tiny_copy: Path, tmp_path: Path) -> None:
    path = tiny_copy / "config.json"
    values = json.loads(path.read_text())
    for change, said in (
        ({"norm_eps": "small"}, "norm_eps"),
        ({"rope_scaling": {"rope_type": "linear"}}, "factor"),
        ({"vocab_size": 520}, "embed_tokens"),
        ({"num_hidden_layers": 7, "full_attn_idxs": [2, 5]}, "blk.6"),
        ({"num_hidden_layers": 5, "full_attn_idxs": [2]}, r"layers\.5|blk\.5"),
    ):
        path.write_text(json.dumps(values | change))
        with pytest.raises(ModelFileError, match=said):
            write_gguf_of(tiny_copy, tmp_path / "made.gguf")


@pytest.mark.parametrize(
    ("value", "kind", "said", "hint"),
    [(np.nan, "BF16", "not all numbers", "checkpoint"), (1e6, "F16", "more than F16 can", "--quantization BF16")],
)
def test_a_weight_that_cannot_be_written_is_named(
    tmp_path: Path, value: float, kind: str, said: str, hint: str
) -> None:
    adapter = Adapter(write_peft(tmp_path / "large", {"model.layers.2.self_attn.q_proj": (64, 64)}))
    folder = write_tiny_lfm2_folder(tmp_path / "tiny")
    adapter.deltas["model.layers.2.self_attn.q_proj.weight"].a[0, 0] = value
    with pytest.raises(ModelFileError, match=rf"blk\.2\.attn_q\.weight.*{said}") as caught:
        write_gguf_of(folder, tmp_path / "made.gguf", kind, adapter=adapter)
    assert hint in caught.value.hint


def test_tensors_without_a_place_are_refused(tiny_copy: Path, tmp_path: Path) -> None:
    _write_safetensors(
        tiny_copy / "model-extra.safetensors", {"model.layers.0.gadget.weight": np.ones((2, 2), np.float32)}
    )
    with pytest.raises(ModelFileError, match="gadget"):
        write_gguf_of(tiny_copy, tmp_path / "made.gguf")


def test_a_llama_computes_what_transformers_computes(tiny_llama: Path, tmp_path: Path) -> None:
    """Rows of queries and keys are turned, rotations scaled, biases kept: each would show here."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32).eval()
    with torch.no_grad():
        wanted = model(torch.tensor([TOKENS])).logits[0].numpy()
    with Evaluator(write_gguf_of(tiny_llama, tmp_path / "llama.gguf"), len(TOKENS)) as made:
        np.testing.assert_allclose(made.logits(TOKENS), wanted, atol=2e-4)


def test_llama_3_divides_frequencies_as_transformers_does(tiny_llama: Path) -> None:
    transformers = pytest.importorskip("transformers")
    rules = pytest.importorskip("transformers.modeling_rope_utils").ROPE_INIT_FUNCTIONS
    config = transformers.AutoConfig.from_pretrained(tiny_llama)
    theirs, _ = rules["llama3"](config, "cpu")
    plain = 1 / 10000.0 ** (np.arange(0, 16, 2) / 16)
    ours = frequencies(read_source(tiny_llama))
    assert ours is not None
    np.testing.assert_allclose(plain / ours, theirs.numpy(), rtol=1e-5)


@pytest.mark.parametrize("rotation", [{"rope_type": "yarn", "factor": 4.0}, {"type": "dynamic", "factor": 2.0}, "wide"])
def test_other_rotations_are_refused(tiny_copy: Path, tmp_path: Path, rotation: object) -> None:
    path = tiny_copy / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rope_scaling": rotation}))
    with pytest.raises(ModelFileError, match="rotations"):
        write_gguf_of(tiny_copy, tmp_path / "made.gguf")


def test_64_greedy_tokens_are_those_of_transformers(tiny_source: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="to run: pip install 'edgelfm[transformers]'")
    transformers = pytest.importorskip("transformers", reason="to run: pip install 'edgelfm[transformers]'")
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_source, dtype=torch.float32).eval()
    theirs = list(TOKENS)
    with torch.no_grad():
        while len(theirs) < len(TOKENS) + 64:
            theirs.append(int(model(torch.tensor([theirs])).logits[0, -1].argmax()))
    ours = list(TOKENS)
    with Evaluator(write_gguf_of(tiny_source, tmp_path / "made.gguf"), 128) as made:
        while len(ours) < len(TOKENS) + 64:
            ours.append(int(made.logits(ours)[-1].argmax()))
    assert ours == theirs
