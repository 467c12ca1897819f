"""tokenizer.json against llama.cpp's tokenizer with the same vocabulary, and what the other files say."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgelfm.backends.llama_cpp.loading import load
from edgelfm.backends.llama_cpp.session import LlamaSession
from edgelfm.backends.vocabulary import Vocabulary
from edgelfm.errors import ModelFileError
from tests.backends.conftest import settings as plan_settings
from tests.tiny import CHAT_TEMPLATE, SPECIAL_TOKENS

CONFIG = {"eos_token_id": 7, "bos_token_id": 1}
Change = Callable[[str, Callable[[dict[str, object]], object]], Vocabulary]


@pytest.fixture(scope="module")
def vocabulary(tiny_folder: Path) -> Vocabulary:
    return Vocabulary(tiny_folder, CONFIG)


@pytest.fixture(scope="module")
def llama(tiny_path: Path) -> Iterator[LlamaSession]:
    session = LlamaSession(load(tiny_path, plan_settings()))
    yield session
    session.close()


@pytest.fixture
def changed(tiny_folder: Path, tmp_path: Path) -> Change:
    """`changed("tokenizer_config.json", lambda values: …)`: the vocabulary after a change to one of its files."""
    folder = shutil.copytree(tiny_folder, tmp_path / "changed")

    def change(name: str, edit: Callable[[dict[str, object]], object]) -> Vocabulary:
        path = folder / name
        values = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        edit(values)
        path.write_text(json.dumps(values), encoding="utf-8")
        return Vocabulary(folder, CONFIG)

    return change


@given(st.text(max_size=60), st.booleans())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ids_and_bytes_are_those_of_llama_cpp(
    vocabulary: Vocabulary, llama: LlamaSession, text: str, special: bool
) -> None:
    ids = vocabulary.tokenize(text, special=special)
    assert ids == llama.tokenize(text, special=special)
    assert b"".join(map(vocabulary.piece, ids)).decode() == text


def test_a_chat_is_tokenized_as_llama_cpp_does(vocabulary: Vocabulary, llama: LlamaSession) -> None:
    chat = "<|startoftext|><|im_start|>user\nIt's 12345 o'clock — 日本 🌵 <|im_end|>\n\n  <|im_start|>assistant\n"
    assert vocabulary.tokenize(chat) == llama.tokenize(chat)
    assert vocabulary.special_tokens() == llama.special_tokens()
    assert vocabulary.markers == llama.markers()
    assert vocabulary.chat_template == llama.chat_template == CHAT_TEMPLATE
    assert {token for token in range(512) if vocabulary.ends_generation(token)} == {2, 7}
    assert all(vocabulary.piece(token) == llama.vocabulary.piece(token) for token in range(512))


@given(st.lists(st.sampled_from([*SPECIAL_TOKENS, "<|", "|>", "<", "im_end", " ", "a"]), max_size=8).map("".join))
@settings(deadline=None)
def test_no_marker_arises_from_plain_text(vocabulary: Vocabulary, text: str) -> None:
    ids = vocabulary.tokenize(text, special=False)
    assert not [token for token in ids if token < len(SPECIAL_TOKENS)]
    assert b"".join(map(vocabulary.piece, ids)).decode() == text


def test_a_marker_that_overlaps_another_is_found_too(changed: Change) -> None:
    extra = [{"id": 512 + i, "content": text, "special": True} for i, text in enumerate(("<x<", "<y>"))]
    common = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    vocabulary = changed(
        "tokenizer.json", lambda values: values["added_tokens"].extend(common | token for token in extra)
    )
    assert 512 in vocabulary.tokenize("<x<y>")
    assert max(vocabulary.tokenize("<x<y>", special=False)) < 512


def test_lone_surrogates_do_not_break_it(vocabulary: Vocabulary) -> None:
    assert vocabulary.tokenize("a\ud800b") == vocabulary.tokenize("a?b")


def test_an_id_that_stands_for_nothing_has_no_bytes(vocabulary: Vocabulary) -> None:
    assert vocabulary.piece(100_000) == b""


def test_sentencepiece_spelling(changed: Change) -> None:
    """Pieces with ▁ for a space, and <0xNN> for a byte that no piece has."""

    def respell(values: dict[str, object]) -> None:
        values["model"] |= {"vocab": {"<0xE2>": 0, "▁sky": 1, "a": 2}, "merges": [], "byte_fallback": True}
        values["added_tokens"] = []
        values["decoder"] = {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]}

    vocabulary = changed("tokenizer.json", respell)
    assert [vocabulary.piece(token) for token in range(3)] == [b"\xe2", b" sky", b"a"]


class TestFiles:
    def test_a_template_may_be_in_the_configuration_of_the_tokenizer(self, tiny_folder: Path, changed: Change) -> None:
        named = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain"}]
        vocabulary = changed("tokenizer_config.json", lambda values: values.update(chat_template=named))
        assert vocabulary.chat_template == CHAT_TEMPLATE  # the file of its own goes first
        (vocabulary._folder / "chat_template.jinja").unlink()
        assert Vocabulary(vocabulary._folder, CONFIG).chat_template == "plain"
        assert changed("tokenizer_config.json", lambda values: values.pop("chat_template")).chat_template is None

    def test_special_tokens_may_be_objects_or_only_ids(self, changed: Change) -> None:
        objects = {"bos_token": {"content": "<|im_start|>"}, "eos_token": None}
        vocabulary = changed("tokenizer_config.json", lambda values: values.update(objects))
        assert vocabulary.special_tokens() == {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}

    def test_generation_config_may_name_more_ends(self, changed: Change) -> None:
        vocabulary = changed("generation_config.json", lambda values: values.update(eos_token_id=[7, 20]))
        assert vocabulary.ends_generation(20)
        assert not vocabulary.ends_generation(21)

    def test_truncation_in_the_file_is_ignored(self, changed: Change) -> None:
        short = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
        vocabulary = changed("tokenizer.json", lambda values: values.update(truncation=short))
        assert len(vocabulary.tokenize("A B C D E F G")) > 4

    @pytest.mark.parametrize(
        ("edit", "reason"),
        [
            (lambda values: values.update(model={"type": "BPE"}), "tokenizer.json"),
            (lambda values: values.update(decoder={"type": "WordPiece", "prefix": "##", "cleanup": True}), "WordPiece"),
        ],
    )
    def test_what_cannot_be_understood_is_refused(
        self, edit: Callable[[dict[str, object]], object], reason: str, changed: Change
    ) -> None:
        with pytest.raises(ModelFileError, match=reason) as caught:
            changed("tokenizer.json", edit)
        assert caught.value.hint
